"""What a build writes, by the contract; the same input gives the same bytes."""

from __future__ import annotations

import hashlib
import json
import os

import numpy as np
import pytest
from PIL import Image

from preprocess import dataset_format as df
from preprocess.build.builder import plan_build
from preprocess.pictures.decode import decode
from preprocess.shards import reading
from preprocess.shards.encode import resize
from preprocess.shell.errors import ConfigError, UsageError
from tests.preprocess import made

PROCESSES = ("--direct_running_mode=multi_processing", "--direct_num_workers=2")


def test_the_manifest_has_the_keys_of_the_contract(faces_dataset):
    fields = json.loads((faces_dataset / "dataset.json").read_text(encoding="utf-8"))
    assert set(fields) == {
        "format", "task", "fingerprint", "digest", "versions", "seed", "variants", "recipe",
        "image", "classes", "splits", "rejected",
    }  # fmt: skip
    assert (fields["format"], fields["task"]) == ("shardline/1", "triplet")
    assert {"encoding", "quality", "size", "resize_mode"} <= set(fields["image"])
    assert set(fields["rejected"]) == {"count", "by_reason"}
    assert set(fields["splits"]) == {"train", "test"}
    for split in fields["splits"].values():
        assert set(split) == {"images", "triplets", "variants", "shards"}
        for shard in split["shards"]:
            assert set(shard) == {"file", "kind", "variant", "records", "bytes", "sha256"}


def test_counts_are_once_and_not_once_a_variant(faces_dataset):
    """24 and 6 faces; n faces in a row make n - 2 triplets."""
    splits = made.manifest(faces_dataset).splits
    counts = {name: (s.images, s.triplets, s.variants) for name, s in splits.items()}
    assert counts == {"train": (24, 22, 3), "test": (6, 4, 1)}


def test_every_shard_is_listed_with_its_size_and_hash(faces_dataset):
    manifest = made.manifest(faces_dataset)
    listed = {s.file: s for split in manifest.splits.values() for s in split.shards}
    found = {n: c for n, c in made.files(faces_dataset).items() if n.endswith(".tfrecord")}
    assert set(listed) == set(found)
    for name, content in found.items():
        assert listed[name].bytes == len(content)
        assert listed[name].sha256 == hashlib.sha256(content).hexdigest()


def test_the_digest_is_that_of_its_definition(faces_dataset):
    manifest = made.manifest(faces_dataset)
    pairs = sorted((s.file, s.sha256) for split in manifest.splits.values() for s in split.shards)
    text = "".join(f"{file} {sha256}\n" for file, sha256 in pairs)
    assert manifest.digest == hashlib.sha256(text.encode()).hexdigest()


def test_the_fingerprint_is_that_of_the_whole_plan(faces, faces_dataset):
    """A build lets the plan's lines go before it writes the manifest."""
    same = {**faces, "variants": 3, "shards": 4, "encoding": "png"}
    _, plan = plan_build(made.request("fec", faces_dataset, **same))
    assert sum(shard.inputs for shard in plan.shards) == 24 + 6 + 22 + 4
    assert made.manifest(faces_dataset).fingerprint == plan.fingerprint()


def test_files_have_the_names_of_the_contract(faces_dataset):
    names = set(made.files(faces_dataset))
    assert {"dataset.json", "recipe.yaml", "rejected.jsonl"} <= names
    assert "labels.txt" not in names  # triplets have none
    assert "train/variant-02/images-00003-of-00004.tfrecord" in names
    assert "train/variant-02/images-00003-of-00004.index" in names
    assert "train/triplets-00000-of-00001.tfrecord" in names
    assert not [name for name in names if name.startswith("test/variant-01")]


def test_image_records_have_the_keys_and_types_of_the_contract(faces_dataset):
    for variant in range(3):
        for record in made.image_records(faces_dataset, "train", variant):
            image_id = record["image/id"].decode()
            assert record["image/key"] == df.image_key(image_id)
            assert record["image/variant"] == variant
            shape = [record[f"image/{side}"] for side in ("height", "width", "channels")]
            assert shape == [20, 24, 3]
            assert "image/label" not in record
            assert reading.pixels(record).shape == (20, 24, 3)


def test_triplet_records_have_the_keys_and_types_of_the_contract(faces_dataset):
    records = made.triplet_records(faces_dataset, "train")
    first = records[0]
    assert first["triplet/images"] == [df.image_key(f"f00{n}") for n in range(3)]
    assert first["triplet/votes"] == pytest.approx([0.1, 0.2, 0.7])
    assert (first["triplet/type"], first["triplet/row"]) == (b"ONE_CLASS", 2)
    assert [r["triplet/row"] for r in records] == list(range(2, 24))


def test_every_variant_holds_the_same_pictures_in_key_order(faces_dataset):
    keys = [
        [r["image/key"] for r in made.image_records(faces_dataset, "train", v)] for v in range(3)
    ]
    assert keys[0] == sorted(keys[0]) and len(set(keys[0])) == 24
    assert keys[1] == keys[2] == keys[0]
    split = made.manifest(faces_dataset).splits["train"]
    for number, shard in enumerate(split.image_shards(0)):
        for record in reading.records(str(faces_dataset), shard.file):
            assert df.shard_of(record["image/key"], 4) == number


def test_the_index_says_where_each_record_lies(faces_dataset):
    for shard in made.manifest(faces_dataset).splits["train"].image_shards(1):
        index = reading.read_index(str(faces_dataset), shard.file)
        found = [reading.read_at(str(faces_dataset), shard.file, entry) for entry in index]
        assert [entry.key for entry in index] == [record["image/key"] for record in found]


def test_variant_0_is_the_file_and_the_others_are_augmented(faces, faces_dataset):
    changed = 0
    for zero, one in zip(
        *(made.image_records(faces_dataset, "train", v) for v in (0, 1)), strict=True
    ):
        file = faces["images"] / f"{zero['image/id'].decode()}.jpg"
        assert zero["image/encoded"] == file.read_bytes()
        assert (zero["image/format"], one["image/format"]) == (b"jpeg", b"png")
        changed += not np.array_equal(reading.pixels(zero), reading.pixels(one))
    # No operation of the recipe is certain, so a variant may be left as it came, once in 200.
    assert changed >= 22


def test_the_same_input_gives_the_same_bytes_on_one_worker_two_threads_and_two_processes(
    faces, faces_dataset, tmp_path
):
    expected = made.files(faces_dataset)
    same = {**faces, "variants": 3, "shards": 4, "encoding": "png"}
    for name, changes in {
        "again": {"workers": 1},
        "threads": {"workers": 2},
        "processes": {"beam_arguments": PROCESSES},
    }.items():
        summary = made.built("fec", tmp_path / name, **{**same, **changes})
        assert made.files(tmp_path / name) == expected, name
        assert summary["digest"] == made.manifest(faces_dataset).digest


def test_another_seed_or_recipe_gives_other_variants_of_the_same_pictures(faces, tmp_path):
    same = {**faces, "variants": 2, "encoding": "raw"}
    made.built("fec", tmp_path / "a", **same)
    made.built("fec", tmp_path / "b", **same, seed=1)
    made.built("fec", tmp_path / "c", **same, recipe="photos")
    records = [made.image_records(tmp_path / name, "train", 1) for name in "abc"]
    for a, b, c in zip(*records, strict=True):
        assert a["image/key"] == b["image/key"] == c["image/key"]
        assert a["image/encoded"] != b["image/encoded"] != c["image/encoded"]
    zero = [made.image_records(tmp_path / name, "train", 0) for name in "ab"]
    assert zero[0] == zero[1]


def test_what_only_describes_a_recipe_does_not_change_the_data(faces, faces_dataset, tmp_path):
    text = (faces_dataset / "recipe.yaml").read_text(encoding="utf-8")
    other = tmp_path / "other.yaml"
    other.write_text(text.replace("description: ", "description: our own, "), encoding="utf-8")
    same = {**faces, "variants": 3, "shards": 4, "encoding": "png", "recipe": str(other)}
    summary = made.built("fec", tmp_path / "out", **same)
    before, after = made.manifest(faces_dataset), made.manifest(tmp_path / "out")
    assert summary["digest"] == before.digest
    assert (after.recipe, after.fingerprint) == (before.recipe, before.fingerprint)
    assert "our own" in (tmp_path / "out" / "recipe.yaml").read_text(encoding="utf-8")


def test_class_folders(tmp_path):
    images = made.class_folders(tmp_path / "in", names=("он и она", "cat"), count=3)
    summary = made.built("folders", tmp_path / "out", images=images, variants=2)
    assert (summary["pictures"], summary["variants"], summary["triplets"]) == (12, 2, 0)
    assert (tmp_path / "out" / "labels.txt").read_bytes() == "cat\nон и она\n".encode()
    manifest = made.manifest(tmp_path / "out")
    assert (manifest.task, manifest.classes) == ("classification", ("cat", "он и она"))
    for record in made.image_records(tmp_path / "out", "test"):
        name = record["image/id"].decode().split("/")[1]
        assert manifest.classes[record["image/label"]] == name


def test_more_shards_than_pictures_leaves_empty_ones(tmp_path):
    images = made.class_folders(tmp_path / "in", names=("a",), count=2)
    made.built("folders", tmp_path / "out", images=images, variants=2, shards=30)
    shards = made.manifest(tmp_path / "out").splits["train"].image_shards(1)
    assert len(shards) == 30
    assert sorted(shard.records for shard in shards) == [0] * 28 + [1, 1]
    empty = next(shard for shard in shards if not shard.records)
    assert (tmp_path / "out" / empty.file).stat().st_size == 0
    assert reading.read_index(str(tmp_path / "out"), empty.file) == []


def test_grey_pictures_stay_grey_in_every_variant(tmp_path):
    made.save(tmp_path / "in" / "a" / "1.png", mode="L")
    made.built("folders", tmp_path / "out", images=tmp_path / "in", variants=3, encoding="png")
    assert made.manifest(tmp_path / "out").image.channels == 1
    for variant in range(3):
        (record,) = made.image_records(tmp_path / "out", "train", variant)
        assert reading.pixels(record).shape == (20, 24, 1)


@pytest.mark.parametrize("mode", ["stretch", "pad", "crop"])
def test_an_image_size_makes_squares_of_variant_0_too(tmp_path, mode):
    path = made.save(tmp_path / "in" / "a" / "1.png")
    made.built(
        "folders",
        tmp_path / "out",
        images=tmp_path / "in",
        variants=2,
        encoding="raw",
        image_size=16,
        resize_mode=mode,
    )
    zero, one = (made.image_records(tmp_path / "out", "train", v)[0] for v in (0, 1))
    expected = resize(decode(path.read_bytes()).image, 16, mode)
    assert np.array_equal(reading.pixels(zero), expected)
    assert reading.pixels(one).shape == (16, 16, 3)
    image = made.manifest(tmp_path / "out").image
    assert (image.height, image.width, image.size, image.resize_mode) == (16, 16, 16, mode)


def test_raw_pictures_are_the_pixels_in_row_major_order(tmp_path):
    path = made.save(tmp_path / "in" / "a" / "1.png")
    made.built("folders", tmp_path / "out", images=tmp_path / "in", encoding="raw")
    (record,) = made.image_records(tmp_path / "out", "train")
    assert record["image/format"] == b"raw"
    assert record["image/encoded"] == np.asarray(Image.open(path)).tobytes()


def test_what_cannot_be_stored_as_it_is_is_turned_and_encoded(tmp_path):
    """Orientation 6: the picture is stored lying on its side, 24x20 becomes 20x24."""
    exif = Image.Exif()
    exif[0x0112] = 6
    path = made.save(tmp_path / "in" / "a" / "1.jpg", exif=exif)
    made.built("folders", tmp_path / "out", images=tmp_path / "in")
    (record,) = made.image_records(tmp_path / "out", "train")
    assert (record["image/height"], record["image/width"]) == (24, 20)
    assert record["image/encoded"] != path.read_bytes()


def test_sizes_that_differ_leave_the_manifest_open(tmp_path):
    made.save(tmp_path / "in" / "a" / "1.png")
    Image.fromarray(made.pixels(1, 20, 30)).save(tmp_path / "in" / "a" / "2.png")
    made.built("folders", tmp_path / "out", images=tmp_path / "in")
    image = made.manifest(tmp_path / "out").image
    assert (image.height, image.width, image.channels) == (20, None, 3)


def test_a_side_that_only_the_third_picture_shows_to_vary_is_no_common_side(tmp_path):
    """In the order of the shard: two sizes in RGB, then a grey picture of the first size."""
    names = sorted((f"{n}.png" for n in range(3)), key=lambda n: df.image_key(f"train/a/{n}"))
    folder = tmp_path / "in" / "train" / "a"
    made.save(folder / names[0], 0)
    Image.fromarray(made.pixels(1, 30, 40)).save(folder / names[1])
    made.save(folder / names[2], 2, mode="L")
    made.built("folders", tmp_path / "out", images=tmp_path / "in", shards=1)
    image = made.manifest(tmp_path / "out").image
    assert (image.height, image.width, image.channels) == (None, None, None)


def test_idx_pictures_are_stored_without_loss(tmp_path):
    digits = np.random.default_rng(0).integers(0, 256, (3, 8, 8), dtype=np.uint8)
    (tmp_path / "in").mkdir()
    made.write_idx(tmp_path / "in" / "train-images-idx3-ubyte", digits)
    made.write_idx(tmp_path / "in" / "train-labels-idx1-ubyte", np.array([2, 0, 1]))
    made.built("idx", tmp_path / "out", images=tmp_path / "in")
    records = made.image_records(tmp_path / "out", "train")
    found = {r["image/id"].decode(): (r["image/label"], reading.pixels(r)) for r in records}
    for number, label in enumerate((2, 0, 1)):
        stored, image = found[f"train-{number:05d}"]
        assert stored == label
        assert np.array_equal(image[:, :, 0], digits[number])


def test_a_table_of_labels_with_names_of_its_own(tmp_path):
    made.save(tmp_path / "images" / "кот, чёрный.jpg")
    made.save(tmp_path / "images" / "b.jpg", 1)
    rows = ["Datei;Klasse", '"кот, чёрный.jpg";кот', "b.jpg;пёс"]
    table = made.write_table(tmp_path / "t.csv", rows)
    columns = (("path", "Datei"), ("label", "Klasse"))
    flags = {"csv": table, "images": tmp_path / "images", "columns": columns}
    made.built("csv", tmp_path / "out", **flags)
    assert made.manifest(tmp_path / "out").classes == ("кот", "пёс")
    ids = {r["image/id"].decode() for r in made.image_records(tmp_path / "out", "train")}
    assert ids == {"кот, чёрный.jpg", "b.jpg"}


# --- where it may write


def test_an_output_among_the_classes_is_refused_before_anything_is_written(tmp_path):
    images = made.class_folders(tmp_path / "in", count=1)
    for output in (images / "dataset", images):
        with pytest.raises(UsageError, match="is inside --images"):
            made.built("folders", output, images=images)
    assert not (images / "dataset").exists() and not (images / ".build").exists()


def test_a_folder_with_other_things_in_it_is_refused_and_left_alone(faces, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").write_text("x")
    with pytest.raises(UsageError, match="is not empty and not a dataset directory"):
        made.built("fec", tmp_path / "out", **faces)
    assert os.listdir(tmp_path / "out") == ["thesis.tex"]


@pytest.mark.parametrize("output", ["file", "file/below", "/proc/nothing"])
def test_an_output_that_cannot_be_a_folder_is_refused(faces, tmp_path, output):
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="--output="):
        made.built("fec", tmp_path / output, **faces)


def test_a_recipe_that_is_none_is_refused_before_anything_is_written(faces, tmp_path):
    with pytest.raises(ConfigError, match="did you mean 'faces'"):
        made.built("fec", tmp_path / "out", **faces, variants=2, recipe="facse")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("argument", "message"),
    [("--nosuch=1", "no option --nosuch"), ("--direct_running_mode=x", "invalid choice: 'x'")],
)
def test_what_beam_does_not_know_is_refused_before_anything_is_written(
    faces, tmp_path, argument, message
):
    with pytest.raises(UsageError, match=message) as caught:
        made.built("fec", tmp_path / "out", **faces, beam_arguments=(argument,))
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()
