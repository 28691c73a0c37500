"""The metadata for tensorflow-datasets follows the manifest, and goes with it.

That TFDS opens it is tested where TensorFlow is: tests/trainer/test_other_readers.py.
"""

from __future__ import annotations

import json

import pytest

from preprocess.build.tfds_metadata import metadata_files
from preprocess.dataset_format import TFDS_FILES
from preprocess.shell.errors import DataError
from tests.preprocess import made


def splits(files: dict[str, str], folder: str = "") -> dict[str, dict]:
    return {s["name"]: s for s in json.loads(files[f"{folder}dataset_info.json"])["splits"]}


def test_every_shard_is_found_by_the_template_of_one_split(faces_dataset):
    """A template holds for all shards of a split: shard n of N is its text with
    {SHARD_X_OF_Y} replaced by n and N in five digits, as TFDS does it.
    """
    manifest = made.manifest(faces_dataset)
    files = metadata_files(manifest)
    found = {}
    for folder, up in (("", ""), ("triplets/", "../")):
        for split in splits(files, folder).values():
            count = len(split["shardLengths"])
            for number, records in enumerate(split["shardLengths"]):
                file = split["filepathTemplate"].format(SHARD_X_OF_Y=f"{number:05d}-of-{count:05d}")
                assert file.startswith(up)
                found[file.removeprefix(up)] = int(records)
    assert found == {s.file: s.records for split in manifest.splits.values() for s in split.shards}


def test_train_is_variant_0_and_each_other_variant_a_split(faces_dataset):
    """24 pictures in 3 variants and 6 in one; 22 and 4 triplets."""
    files = metadata_files(made.manifest(faces_dataset))
    counts = {name: sum(map(int, split["shardLengths"])) for name, split in splits(files).items()}
    assert counts == {"test": 6, "train": 24, "train_variant_01": 24, "train_variant_02": 24}
    triplets = splits(files, "triplets/")
    assert {name: split["shardLengths"] for name, split in triplets.items()} == {
        "test": ["4"],
        "train": ["22"],
    }


def test_a_build_that_fails_takes_the_metadata_of_the_one_before_away(dataset, rebuild, faces):
    """TFDS does not look at dataset.json: it would read shards that are about to change."""
    assert {name for name in TFDS_FILES if (dataset / name).exists()} == {*TFDS_FILES} - {
        "image.label.labels.txt",
        "image.labels.labels.txt",
    }
    lines = faces["csv"].read_text().splitlines()
    damaged = made.write_table(dataset.parent / "bad.csv", [*lines, "a,b"])
    with pytest.raises(DataError):
        rebuild(csv=damaged, max_bad_fraction=0.0)
    assert [name for name in TFDS_FILES if (dataset / name).exists()] == []


def test_what_another_task_does_not_need_goes(dataset):
    images = made.class_folders(dataset.parent / "in", count=2)
    made.built("folders", dataset, images=images, overwrite=True)
    assert not (dataset / "triplets").exists()
    assert (dataset / "image.label.labels.txt").read_text() == "cat\ndog\n"
