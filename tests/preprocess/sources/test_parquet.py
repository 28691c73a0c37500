"""Parquet files of pictures: Hugging Face's layout and others, and what is wrong with some."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from preprocess.shell.errors import DataError, UsageError
from preprocess.sources import item_readers, parquet_rows, read_source, recognise
from preprocess.sources.rows import Request
from tests.preprocess import made

STRUCT = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def read(images, **request):
    return read_source("parquet", Request(images=str(images), **request))


def rows(source):
    """(id, split, class, file) of each picture."""
    contents = item_readers.read_many([p.path for p in source.pictures])
    return sorted(
        (p.id, p.split, source.classes[p.label], content)
        for p, content in zip(source.pictures, contents, strict=True)
    )


def write(path, images, labels, names=None, group=3, **columns):
    """As datasets.Dataset.to_parquet writes it; `names` are those of a ClassLabel."""
    path.parent.mkdir(parents=True, exist_ok=True)
    kind = STRUCT if images and isinstance(images[0], dict) else None
    table = pa.table({"image": pa.array(images, kind), "label": labels, **columns})
    if names is not None:
        features = {
            "image": {"_type": "Image"},
            "label": {"names": names, "_type": "ClassLabel"},
        }
        table = table.replace_schema_metadata(
            {"huggingface": json.dumps({"info": {"features": features}})}
        )
    parquet.write_table(table, path, row_group_size=group)
    return path


def as_parquet(folders, output):
    """Class folders SPLIT/CLASS/FILE as data/SPLIT-00000-of-00001.parquet."""
    names = sorted(folder.name for folder in (folders / "train").iterdir())
    for split in ("train", "test"):
        files = sorted((folders / split).rglob("*.jpg"))
        write(
            output / "data" / f"{split}-00000-of-00001.parquet",
            [{"bytes": file.read_bytes(), "path": file.name} for file in files],
            [names.index(file.parent.name) for file in files],
            names,
        )
    return output


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    return made.class_folders(tmp_path_factory.mktemp("classes"))


@pytest.fixture(scope="module")
def jpegs():
    import io

    from PIL import Image

    found = []
    for number in range(6):
        buffer = io.BytesIO()
        Image.fromarray(made.pixels(number)).save(buffer, "JPEG")
        found.append(buffer.getvalue())
    return found


def test_parquet_files_hold_what_their_class_folders_hold(folders, tmp_path):
    output = as_parquet(folders, tmp_path / "hf")
    plain = read_source("folders", Request(images=str(folders)))
    packed = read(output)
    assert packed.classes == plain.classes
    assert rows(packed) == rows(plain)
    kind, reason = recognise(Request(images=str(output)))
    assert (kind.name, reason) == ("parquet", "the parquet file data/test-00000-of-00001.parquet")


def test_parquet_files_build_the_same_dataset(folders, tmp_path):
    plain = made.built("folders", tmp_path / "plain", images=folders)
    packed = made.built("parquet", tmp_path / "d", images=as_parquet(folders, tmp_path / "hf"))
    assert packed["digest"] == plain["digest"]


def test_class_numbers_are_those_of_the_schema(tmp_path, jpegs):
    path = write(tmp_path / "x.parquet", jpegs[:3], [2, 0, 1], ["zebra", "ant", "cow"])
    source = read(path)
    assert source.classes == ["zebra", "ant", "cow"]
    assert [p.label for p in source.pictures] == [2, 0, 1]


@pytest.mark.parametrize(
    ("labels", "classes"), [(["b", "a", "b"], ["a", "b"]), ([10, 9, 10], ["9", "10"])]
)
def test_without_metadata_labels_are_names(tmp_path, jpegs, labels, classes):
    source = read(write(tmp_path / "x.parquet", jpegs[:3], labels))
    assert source.classes == classes
    assert [source.classes[p.label] for p in source.pictures] == [str(label) for label in labels]
    assert {p.split for p in source.pictures} == {"train"}


def test_columns_of_other_names_are_found_or_asked_for(tmp_path, jpegs):
    table = pa.table({"img": jpegs[:2], "mask": jpegs[:2], "kind": ["a", "b"], "place": ["x", "y"]})
    parquet.write_table(table, tmp_path / "x.parquet")
    with pytest.raises(DataError, match=r"several may be the label: kind, place"):
        read(tmp_path / "x.parquet")
    source = read(tmp_path / "x.parquet", columns=(("image", "mask"), ("label", "place")))
    assert source.classes == ["x", "y"]
    with pytest.raises(DataError, match="has no 'nothing'; it has img, mask, kind, place"):
        read(tmp_path / "x.parquet", columns=(("label", "nothing"),))
    with pytest.raises(UsageError, match="this source has image, label"):
        read(tmp_path / "x.parquet", columns=(("face1", "img"),))


def test_a_test_set_whose_labels_are_kept_back_is_left_out(tmp_path, jpegs):
    write(tmp_path / "train.parquet", jpegs[:3], [0, 1, -1], ["a", "b"])
    write(tmp_path / "test.parquet", jpegs[3:], [-1, -1, -1], ["a", "b"])
    source = read(tmp_path)
    assert [p.split for p in source.pictures] == ["train", "train"]
    assert "split 'test' has no labels and was skipped" in source.warnings
    assert [r.detail for r in source.rejections] == ["no label"]


def test_a_label_without_a_name_costs_its_picture(tmp_path, jpegs):
    source = read(write(tmp_path / "x.parquet", jpegs[:3], [0, 7, 1], ["a", "b"]))
    assert [(r.reason, r.detail) for r in source.rejections] == [
        ("bad_label", "label 7 of only 2 classes")
    ]


def test_a_row_without_bytes_costs_its_picture(tmp_path, jpegs):
    images = [{"bytes": jpegs[0], "path": None}, {"bytes": None, "path": "/far/away.jpg"}]
    source = read(write(tmp_path / "x.parquet", images, ["a", "b"]))
    first, second = item_readers.read_many([p.path for p in source.pictures])
    assert first == jpegs[0]
    assert "no bytes" in second.strerror


def test_pictures_of_one_name_are_kept_apart(tmp_path, jpegs):
    images = [{"bytes": jpeg, "path": "1.jpg"} for jpeg in jpegs[:3]]
    source = read(write(tmp_path / "x.parquet", images, ["a", "b", "a"]))
    assert [p.id for p in source.pictures] == ["a/1.jpg", "b/1.jpg", "a/1.jpg~2"]
    assert [content for *_, content in rows(source)] == [jpegs[0], jpegs[2], jpegs[1]]


def test_a_limit_is_spread_over_the_rows(tmp_path, jpegs):
    source = read(write(tmp_path / "x.parquet", jpegs, ["a"] * 3 + ["b"] * 3), limit=2)
    assert [source.classes[p.label] for p in source.pictures] == ["a", "b"]


def test_row_groups_are_decoded_once_while_they_are_kept(tmp_path, jpegs, monkeypatch):
    source = read(write(tmp_path / "x.parquet", jpegs, ["a"] * 6, group=2))
    read_column, calls = parquet_rows._read_column, []

    def counted(*arguments):
        calls.append(arguments)
        return read_column(*arguments)

    monkeypatch.setattr(parquet_rows, "_read_column", counted)
    paths = [p.path for p in source.pictures]
    assert list(item_readers.read_many([*paths, *paths])) == jpegs + jpegs
    assert len(calls) == 3
    monkeypatch.setattr(parquet_rows, "CACHE_BYTES", 0)
    monkeypatch.setattr(parquet_rows, "_groups", parquet_rows._Groups())
    assert list(item_readers.read_many([*paths, *paths])) == jpegs + jpegs
    assert len(calls) == 3 + 6


@pytest.mark.parametrize("limit", ["file", "row group"])
def test_row_groups_too_large_to_decode_are_refused(tmp_path, jpegs, monkeypatch, limit):
    path = write(tmp_path / "x.parquet", jpegs, ["a"] * 6, group=6)
    source = read(path)
    if limit == "file":
        monkeypatch.setattr("preprocess.sources.parquet.MAX_GROUP_BYTES", 100)
        with pytest.raises(DataError, match="row_group_size=100"):
            read(path)
    else:  # the footer said less than there is
        monkeypatch.setattr(parquet_rows, "MAX_GROUP_BYTES", 100)
        (content,) = item_readers.read_many([source.pictures[0].path])
        assert "more than 100 bytes" in content.strerror


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"PAR1 and no more", "is not a parquet file"), (b"", "is not a parquet file")],
)
def test_what_is_no_parquet_file_says_so(tmp_path, content, message):
    (tmp_path / "x.parquet").write_bytes(content)
    with pytest.raises(DataError, match=message):
        read(tmp_path)


def test_folders_without_a_parquet_file_and_archives_of_them_say_so(tmp_path, jpegs):
    import shutil

    with pytest.raises(DataError, match=r"has no .parquet file"):
        read(tmp_path)
    write(tmp_path / "p" / "x.parquet", jpegs, ["a"] * 6)
    shutil.make_archive(str(tmp_path / "p"), "zip", tmp_path / "p")
    with pytest.raises(DataError, match="not read inside an archive"):
        read(tmp_path / "p.zip")


def test_parquet_files_on_an_object_store_are_read_in_ranges(tmp_path, jpegs, bucket):
    from preprocess import storage

    local = write(tmp_path / "x.parquet", jpegs, ["a"] * 6)
    storage.write_bytes(f"{bucket}/d/x.parquet", local.read_bytes())
    for images in (f"{bucket}/d", f"{bucket}/d/x.parquet"):
        assert rows(read(images)) == rows(read(local))


def test_more_rows_than_a_file_has_pictures_are_refused_unread(tmp_path):
    """Equal values take no room: 16 million rows in 60 kB."""
    rows = 16_000_000
    table = pa.table({"image": pa.nulls(rows, pa.binary()), "label": np.zeros(rows, "i1")})
    parquet.write_table(table, tmp_path / "train.parquet", row_group_size=rows)
    assert (tmp_path / "train.parquet").stat().st_size < 200_000
    with pytest.raises(DataError, match="claims 16000000 pictures in"):
        read(tmp_path)


def test_names_of_pictures_that_are_no_text_are_made_up(tmp_path, jpegs):
    rows = [{"bytes": content, "path": 5} for content in jpegs[:2]]
    table = pa.table({"image": pa.array(rows), "label": [0, 1]})
    parquet.write_table(table, tmp_path / "train.parquet")
    assert [p.id for p in read(tmp_path).pictures] == [
        "train/0/train-0000000",
        "train/1/train-0000001",
    ]
