"""TFRecords of others, and folders of tensorflow-datasets."""

from __future__ import annotations

import json
import os

import pytest

from preprocess.shards.tfrecord import encode_example
from preprocess.shell.checksum import frame
from preprocess.shell.errors import DataError, UsageError
from preprocess.sources import item_readers, read_source, recognise
from preprocess.sources.example_spans import parse_features
from preprocess.sources.rows import Request
from tests.preprocess import made


def read(images, kind="tfrecords", **request):
    return read_source(kind, Request(images=str(images), **request))


def rows(source):
    """(id, split, class, file) of each picture."""
    contents = item_readers.read_many([p.path for p in source.pictures])
    return sorted(
        (p.id, p.split, source.classes[p.label], content)
        for p, content in zip(source.pictures, contents, strict=True)
    )


def write(path, examples):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"".join(frame(encode_example(example)) for example in examples))
    return path


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    return made.class_folders(tmp_path_factory.mktemp("classes"))


@pytest.fixture(scope="module")
def jpeg(folders):
    return next(folders.rglob("*.jpg")).read_bytes()


def examples(folders, split, label, names=("cat", "dog")):
    for file in sorted((folders / split).rglob("*.jpg")):
        number = names.index(file.parent.name)
        yield {
            "image": file.read_bytes(),
            "image/filename": file.name.encode(),
            "label": number if label == "number" else file.parent.name.encode(),
        }


def tfds(folders, output):
    """As tensorflow-datasets writes its folder."""
    for split in ("train", "test"):
        write(output / f"pets-{split}.tfrecord-00000-of-00001", examples(folders, split, "number"))
    features = {
        "image": {"pythonClassName": "tensorflow_datasets.core.features.image_feature.Image"},
        "image/filename": {"pythonClassName": "tensorflow_datasets.core.features.text.Text"},
        "label": {"pythonClassName": "tensorflow_datasets.core.features.class_label.ClassLabel"},
    }
    (output / "features.json").write_text(json.dumps({"featuresDict": {"features": features}}))
    info = {"fileFormat": "tfrecord", "splits": [{"name": "train"}, {"name": "test"}]}
    (output / "dataset_info.json").write_text(json.dumps(info))
    (output / "label.labels.txt").write_text("cat\ndog\n")
    return output


def test_a_tfds_folder_holds_what_its_class_folders_hold(folders, tmp_path):
    output = tfds(folders, tmp_path / "pets")
    assert recognise(Request(images=str(output)))[0].name == "tfrecords"
    assert rows(read(output)) == rows(read(folders, "folders"))


def test_records_of_others_hold_what_their_class_folders_hold(folders, tmp_path):
    for split in ("train", "test"):
        write(tmp_path / "r" / f"{split}.tfrecords", examples(folders, split, "name"))
    assert rows(read(tmp_path / "r")) == rows(read(folders, "folders"))


def test_features_are_named_where_they_cannot_be_told(tmp_path, jpeg):
    example = {"a": jpeg, "b": b"\xff\xd8\xff", "kind": 3, "place": 7, "text": b"x", "box": [0.5]}
    path = write(tmp_path / "x.tfrecord", [example])
    with pytest.raises(DataError, match=r"several may be the image: a, b.*--features=image=NAME"):
        read(path)
    with pytest.raises(DataError, match="several may be the label: kind, place"):
        read(path, features=(("image", "a"),))
    source = read(path, features=(("image", "a"), ("label", "text")))
    assert rows(source) == [("x/x-0000000", "train", "x", jpeg)]
    with pytest.raises(DataError, match="has no 'c'; it has "):
        read(path, features=(("image", "c"),))
    with pytest.raises(UsageError, match="--features: unknown name 'face'"):
        read(path, features=(("face", "a"),))


def test_splits_of_a_tfds_folder_may_have_any_name(tmp_path, jpeg):
    for split in ("train", "corrupted_3"):
        write(tmp_path / f"d-{split}.tfrecord-00000-of-00001", [{"image": jpeg, "label": 0}])
    info = {"splits": [{"name": "train"}, {"name": "corrupted_3"}]}
    (tmp_path / "dataset_info.json").write_text(json.dumps(info))
    assert {p.split for p in read(tmp_path).pictures} == {"train", "corrupted_3"}
    info["splits"].append({"name": "../x"})
    (tmp_path / "dataset_info.json").write_text(json.dumps(info))
    with pytest.raises(DataError, match=r"a split called '\.\./x'"):
        read(tmp_path)


def test_a_record_that_is_no_example_costs_its_picture(tmp_path, jpeg):
    good = encode_example({"image": jpeg, "label": 0})
    others = [b"\xff\xff\xff", encode_example({"label": 0}), encode_example({"image": jpeg})]
    (tmp_path / "x.tfrecord").write_bytes(b"".join(map(frame, [good, *others])))
    source = read(tmp_path)
    assert len(source.pictures) == 1
    assert [r.reason for r in source.rejections] == [
        "unreadable_row",
        "missing_picture",
        "bad_label",
    ]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda data: data[:-9], "ends inside the record at byte"),
        (lambda data: data + b"\0" * 20, "damaged record header at byte"),
        (lambda data: b"\x1f\x8b\x08" + data, "is gzipped; unpack it first"),
        (lambda data: b"no records at all", "is not a TFRecord file of tf.train.Example"),
        (lambda data: frame(b"\x0a\x05abc"), "a field is longer than its message"),
        (lambda data: b"", "no labelled pictures"),
    ],
)
def test_damaged_files_say_where(tmp_path, jpeg, damage, message):
    data = b"".join(frame(encode_example({"image": jpeg, "label": n})) for n in range(3))
    (tmp_path / "x.tfrecord").write_bytes(damage(data))
    with pytest.raises(DataError, match=message):
        read(tmp_path)


def test_other_formats_of_tfds_and_our_own_datasets_are_refused(tmp_path, jpeg, folders):
    write(tmp_path / "x.tfrecord", [{"image": jpeg, "label": 0}])
    (tmp_path / "dataset_info.json").write_text('{"fileFormat": "array_record"}')
    with pytest.raises(DataError, match="'array_record'; only TFDS's tfrecord"):
        read(tmp_path)
    (tmp_path / "dataset.json").write_text("{}")
    with pytest.raises(DataError, match="is a dataset already"):
        read(tmp_path)


def test_numbers_packed_or_not_and_negative_ones_are_read():
    """Int64List {1: [5, -1]}: packed as one field, and unpacked as two."""
    minus_one = b"\xff" * 9 + b"\x01"
    packed = b"\x0a\x0b\x05" + minus_one
    unpacked = b"\x08" + minus_one + b"\x08\x05"
    for values, first in ((packed, 5), (unpacked, -1)):
        feature = b"\x1a" + bytes([len(values)]) + values
        entry = b"\x0a\x01n\x12" + bytes([len(feature)]) + feature
        features = b"\x0a" + bytes([len(entry)]) + entry
        example = b"\x0a" + bytes([len(features)]) + features
        value = parse_features(example, 0, len(example))["n"]
        assert (value.number, value.values) == (first, 2)


def test_records_on_an_object_store_are_read_in_ranges(tmp_path, jpeg, bucket):
    from preprocess import storage

    path = write(tmp_path / "x.tfrecord", [{"image": jpeg, "label": n} for n in range(2)])
    storage.write_bytes(f"{bucket}/d/train.tfrecord", path.read_bytes())
    for images in (f"{bucket}/d", f"{bucket}/d/train.tfrecord"):
        assert [content for *_, content in rows(read(images))] == [jpeg, jpeg]


@pytest.mark.parametrize(
    ("features", "info"),
    [([], {}), ({"featuresDict": []}, []), ({"featuresDict": {"features": [1]}}, {"splits": 5}),
     ({"featuresDict": {"features": {"image": 5}}}, {"splits": {"train": 1}})],
)  # fmt: skip
def test_what_tfds_says_in_other_types_is_left_out(folders, tmp_path, features, info):
    write(tmp_path / "train.tfrecord", examples(folders, "train", "number"))
    (tmp_path / "features.json").write_text(json.dumps(features))
    (tmp_path / "dataset_info.json").write_text(json.dumps(info))
    assert read(tmp_path).pictures


@pytest.mark.parametrize("splits", [[5], [{"name": ["train"]}], [{"name": "a/../b"}]])
def test_a_split_of_tfds_has_a_name(folders, tmp_path, splits):
    write(tmp_path / "train.tfrecord", examples(folders, "train", "number"))
    (tmp_path / "dataset_info.json").write_text(json.dumps({"splits": splits}))
    with pytest.raises(DataError, match="has a split called"):
        read(tmp_path)


@pytest.mark.parametrize("spoil", [os.mkfifo, os.mkdir])
def test_class_names_are_read_from_a_plain_file(folders, tmp_path, spoil):
    write(tmp_path / "train.tfrecord", examples(folders, "train", "number"))
    spoil(tmp_path / "label.labels.txt")
    with pytest.raises(DataError, match=r"label\.labels\.txt': not a regular file"):
        read(tmp_path)
