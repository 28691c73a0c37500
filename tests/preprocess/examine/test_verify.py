"""verify finds what is not as the manifest says, and nothing where all is well."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from preprocess import dataset_format as df
from preprocess.build.tfds_metadata import metadata_files
from preprocess.examine.verify import verify
from preprocess.shards import tfrecord
from tests.preprocess import made

SHARD = "train/variant-01/images-00002-of-00004.tfrecord"
INDEX = SHARD.replace(".tfrecord", ".index")
TRIPLETS = "train/triplets-00000-of-00001.tfrecord"


def problems(dataset: Path, deep: bool = False) -> list[tuple[str, str]]:
    return [(p.file, p.problem) for p in verify(str(dataset), deep, lambda: None)]


def flip_a_byte(dataset: Path) -> None:
    content = bytearray((dataset / SHARD).read_bytes())
    content[len(content) // 2] ^= 1
    (dataset / SHARD).write_bytes(content)


def truncate(dataset: Path) -> None:
    (dataset / SHARD).write_bytes((dataset / SHARD).read_bytes()[:-1])


def swap_two_shards(dataset: Path) -> None:
    first, second = dataset / SHARD, dataset / SHARD.replace("00002", "00001")
    a, b = first.read_bytes(), second.read_bytes()
    first.write_bytes(b)
    second.write_bytes(a)


def edit_manifest(dataset: Path, change: Callable[[dict], None]) -> None:
    fields = json.loads((dataset / "dataset.json").read_text(encoding="utf-8"))
    change(fields)
    (dataset / "dataset.json").write_text(json.dumps(fields), encoding="utf-8")


def shorten_the_index(dataset: Path) -> None:
    lines = (dataset / INDEX).read_text().splitlines()
    (dataset / INDEX).write_text("".join(f"{line}\n" for line in lines[:-1]))


FAST: dict[str, tuple[Callable[[Path], object], str, str]] = {
    "a flipped byte": (flip_a_byte, SHARD, "its sha256 is not the manifest's"),
    "a truncated file": (truncate, SHARD, "bytes, the manifest says"),
    "a missing shard": (lambda d: (d / SHARD).unlink(), SHARD, "missing"),
    "a shard too many": (
        lambda d: (d / "train" / "x.tfrecord").write_bytes(b""),
        "train/x.tfrecord",
        "not in the manifest",
    ),
    "a shard too many in a folder called live": (
        lambda d: shutil.copytree(d / "train", d / "train" / "live"),
        SHARD.replace("train/", "train/live/"),
        "not in the manifest",
    ),
    "an index too many": (
        lambda d: (d / "x.index").write_bytes(b""),
        "x.index",
        "not in the manifest",
    ),
    "swapped shards": (swap_two_shards, SHARD, "the manifest"),
    "a short index": (shorten_the_index, INDEX.replace(".index", ".tfrecord"), "its index"),
    "no index": (lambda d: (d / INDEX).unlink(), SHARD, "cannot read the index"),
    "an index of nonsense": (lambda d: (d / INDEX).write_text("x"), SHARD, "cannot read the index"),
    "another recipe": (
        lambda d: (d / "recipe.yaml").write_text("version: 1\noperations: []\n"),
        "recipe.yaml",
        "not the recipe",
    ),
    "metadata of another build": (
        lambda d: edit_manifest(d, lambda m: m["splits"]["train"]["shards"][0].update(bytes=1)),
        "dataset_info.json",
        "other than the manifest says",
    ),
    "half of the metadata": (lambda d: (d / "features.json").unlink(), "features.json", "missing"),
    "metadata for nothing": (
        lambda d: (d / "image.label.labels.txt").write_text("cat\n"),
        "image.label.labels.txt",
        "other than the manifest says",
    ),
    "no recipe": (lambda d: (d / "recipe.yaml").unlink(), "recipe.yaml", "no such file"),
    "an edited hash": (
        lambda d: edit_manifest(d, lambda m: m.update(digest="0" * 64)),
        "dataset.json",
        "the digest does not follow",
    ),
    "an edited count": (
        lambda d: edit_manifest(d, lambda m: m["splits"]["train"].update(images=23)),
        "dataset.json",
        "split 'train' has 23 pictures, its variant 0 24",
    ),
    "an edited number of triplets": (
        lambda d: edit_manifest(d, lambda m: m["splits"]["train"].update(triplets=23)),
        "dataset.json",
        "the triplet counts differ",
    ),
    "an edited number of variants": (
        lambda d: edit_manifest(d, lambda m: m.update(variants=4)),
        "dataset.json",
        "4 variants, but its split 'train' has 3",
    ),
    "a shard left out of the list": (
        lambda d: edit_manifest(d, lambda m: m["splits"]["train"]["shards"].pop(0)),
        "dataset.json",
        "the digest does not follow",
    ),
    "no manifest": (lambda d: (d / "dataset.json").unlink(), "dataset.json", "did not finish"),
    "half a manifest": (
        lambda d: (d / "dataset.json").write_text("{"),
        "dataset.json",
        "is not a manifest",
    ),
}


def test_a_whole_dataset_has_no_problem(faces_dataset):
    assert problems(faces_dataset) == problems(faces_dataset, deep=True) == []


@pytest.mark.parametrize("name", FAST)
def test_what_is_wrong_is_found_with_its_file_already_fast(dataset, name):
    harm, file, problem = FAST[name]
    harm(dataset)
    assert any(f == file and problem in p for f, p in problems(dataset)), problems(dataset)
    assert problems(dataset, deep=True) != []


# What a fast look cannot see: files that the manifest was made to agree with.


def rewrite(dataset: Path, file: str, change: Callable[[list[dict]], list[dict]]) -> None:
    """Changes the records of a shard, and index and manifest with them."""
    payloads = [payload for _, payload in tfrecord.read_records(str(dataset / file))]
    records = change([tfrecord.decode_example(payload) for payload in payloads])
    with tfrecord.RecordWriter(str(dataset / file)) as writer:
        for record in records:
            writer.write(record.get("image/key", 0), tfrecord.encode_example(record))
    if "images" in file:
        (dataset / df.index_file(file)).write_text(df.format_index(writer.entries))
    manifest = made.manifest(dataset)
    splits = {}
    for name, split in manifest.splits.items():
        shards = [
            dataclasses.replace(
                s, bytes=writer.bytes, sha256=writer.sha256, records=len(writer.entries)
            )
            if s.file == file
            else s
            for s in split.shards
        ]
        splits[name] = dataclasses.replace(split, shards=tuple(shards))
    pairs = [(s.file, s.sha256) for split in splits.values() for s in split.shards]
    changed = dataclasses.replace(manifest, splits=splits, digest=df.digest(pairs))
    (dataset / "dataset.json").write_text(changed.to_json(), encoding="utf-8")
    rewrite_metadata(dataset)


def rewrite_metadata(dataset: Path) -> None:
    """The files for tensorflow-datasets as the manifest now wants them."""
    for name, text in metadata_files(made.manifest(dataset)).items():
        (dataset / name).write_text(text, encoding="utf-8")


def first_with(**values: object) -> Callable[[list[dict]], list[dict]]:
    def change(records: list[dict]) -> list[dict]:
        renamed = {name.replace("_", "/", 1): value for name, value in values.items()}
        return [{**records[0], **renamed}, *records[1:]]

    return change


def without_first(name: str) -> Callable[[list[dict]], list[dict]]:
    return lambda records: [{k: v for k, v in records[0].items() if k != name}, *records[1:]]


DEEP = {
    "a triplet that points nowhere": (TRIPLETS, first_with(triplet_images=[1, 2, 3]), "a missing"),
    "a triplet of two": (TRIPLETS, first_with(triplet_images=[1, 2]), "is not a triplet"),
    "votes that do not sum to 1": (TRIPLETS, first_with(triplet_votes=[0.5, 0.5, 0.5]), "sum to"),
    "another variant": (SHARD, first_with(image_variant=2), "is of variant 2"),
    "another id": (SHARD, first_with(image_id=b"x"), "its key is not that of its id"),
    "another size": (SHARD, first_with(image_height=7), "not what its record says"),
    "no pictures": (SHARD, first_with(image_encoded=b"x"), "does not decode"),
    "a missing feature": (SHARD, without_first("image/id"), "has no 'image/id'"),
    "another order": (SHARD, lambda records: records[::-1], "not those of variant 0"),
}


@pytest.mark.parametrize("name", DEEP)
def test_what_only_the_records_tell_is_found_deep(dataset, name):
    file, change, problem = DEEP[name]
    rewrite(dataset, file, change)
    assert problems(dataset) == []
    found = problems(dataset, deep=True)
    assert [f for f, _ in found] == [file]
    assert problem in found[0][1]


def test_an_index_with_another_key_is_found_deep(dataset):
    key, rest = (dataset / INDEX).read_text().split(" ", 1)
    (dataset / INDEX).write_text(f"{int(key) + 1} {rest}")
    assert problems(dataset) == []
    assert problems(dataset, deep=True) == [(SHARD, "its index does not agree with its records")]


def test_a_damaged_picture_shard_is_not_blamed_on_the_triplets(dataset):
    flip_a_byte(dataset)
    assert [file for file, _ in problems(dataset, deep=True)] == [SHARD]


def test_a_size_that_the_manifest_claims_wrongly_is_found_deep(dataset):
    edit_manifest(dataset, lambda fields: fields["image"].update(height=21))
    rewrite_metadata(dataset)
    assert all("by the manifest (21, 24, 3)" in problem for _, problem in problems(dataset, True))
    assert problems(dataset, True)


def test_class_names_beside_the_shards_are_those_of_the_manifest(tmp_path):
    images = made.class_folders(tmp_path / "in", count=1)
    made.built("folders", tmp_path / "out", images=images)
    assert problems(tmp_path / "out", deep=True) == []
    (tmp_path / "out" / "labels.txt").write_text("dog\ncat\n")
    assert problems(tmp_path / "out") == [
        ("labels.txt", "differs from the classes of the manifest")
    ]


def test_a_label_without_a_class_is_found_deep(tmp_path):
    images = made.class_folders(tmp_path / "in", count=1)
    made.built("folders", tmp_path / "out", images=images)
    file = "train/variant-00/images-00000-of-00001.tfrecord"
    rewrite(tmp_path / "out", file, first_with(image_label=2))
    assert "has label 2" in problems(tmp_path / "out", deep=True)[0][1]


def test_progress_is_told_a_shard(faces_dataset):
    told: list[int] = []
    verify(str(faces_dataset), False, lambda: told.append(1))
    assert len(told) == 18
