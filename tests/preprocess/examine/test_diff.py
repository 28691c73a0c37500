"""`preprocess diff` on dataset directories that differ in one known way."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from preprocess import dataset_format as df
from preprocess.examine.dataset_diff import diff


def write(path: Path, keys: list[int], **changes: object) -> str:
    """A dataset directory of one shard with these keys; its bytes are not read by diff."""
    file = df.image_shard_file("train", 0, 0, 1)
    index = path / df.index_file(file)
    index.parent.mkdir(parents=True)
    index.write_text(df.format_index([df.IndexEntry(k, i, 1) for i, k in enumerate(keys)]))
    sha256 = ",".join(map(str, keys))
    shard = df.Shard(file, df.IMAGES, 0, len(keys), len(keys), sha256)
    manifest = df.Manifest(
        task=df.CLASSIFICATION,
        fingerprint="f",
        digest=df.digest([(file, sha256)]),
        versions={"numpy": "1"},
        seed=0,
        variants=1,
        recipe="",
        image=df.ImageFormat("jpeg", 95, 0, "stretch"),
        classes=("a", "b"),
        splits={"train": df.Split(len(keys), 0, 1, (shard,))},
        rejected={"count": 0, "by_reason": {}},
    )
    manifest = dataclasses.replace(manifest, **changes)
    (path / df.MANIFEST_FILE).write_text(manifest.to_json())
    return str(path)


def test_a_dataset_does_not_differ_from_itself(tmp_path: Path) -> None:
    first = write(tmp_path / "a", [1, 2])
    assert diff(first, first) == {}


def test_pictures_in_one_only_are_counted(tmp_path: Path) -> None:
    """Keys {1, 2, 3} and {2, 4}: two are only in the first, one only in the second."""
    found = diff(write(tmp_path / "a", [1, 2, 3]), write(tmp_path / "b", [2, 4]))
    assert found["splits.train.images"] == [3, 2]
    assert found["splits.train.only_here"] == [2, 1]
    assert "digest" in found


def test_options_and_classes_are_named_with_both_values(tmp_path: Path) -> None:
    changed = write(tmp_path / "b", [1], seed=3, classes=("a",), versions={"numpy": "2"})
    found = diff(write(tmp_path / "a", [1]), changed)
    assert found == {
        "seed": [0, 3],
        "classes": [["a", "b"], ["a"]],
        "versions.numpy": ["1", "2"],
    }


def test_a_split_of_one_only_and_a_changed_recipe_are_shown(tmp_path: Path) -> None:
    first, second = write(tmp_path / "a", [1]), write(tmp_path / "b", [1], splits={})
    Path(first, df.RECIPE_FILE).write_text("version: 1\n")
    Path(second, df.RECIPE_FILE).write_text("version: 2\n")
    found = diff(first, second)
    assert found["splits.train"] == [1, None]
    assert "-version: 1" in found["recipe"]
    assert "+version: 2" in found["recipe"]
