"""Names of files with many pictures: their suffix, and the split that they stand for."""

from __future__ import annotations

import os

import pytest

from preprocess.shell.errors import DataError
from preprocess.sources.container_files import find_files, has_suffix, split_in_name
from preprocess.sources.rows import Request


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("data/train-00000-of-00002.parquet", "train"),
        ("default/test/0000.parquet", "test"),
        ("default/partial-train/0000.parquet", "train"),
        ("beans-validation.tfrecord-00000-of-00001", "validation"),
        ("train/cats_val_0001.tar", "val"),
        ("imagenet-Train-{}.tar", "Train"),
        ("train01.tar", "train"),
        ("training-000.tar", "training"),
        ("contest-000.tar", ""),
        ("trainer.tar", ""),
        ("pictures.parquet", ""),
    ],
)
def test_a_split_is_a_word_of_the_name_or_of_a_folder_above(name, split):
    assert split_in_name(name) == split


@pytest.mark.parametrize(
    ("name", "fits"),
    [
        ("a.tfrecord", True),
        ("a.TFRECORD", True),
        ("a.tfrecord-00001-of-00008", True),
        ("a-00001-of-00008.tfrecord", True),
        ("a.tfrecord.index", False),
    ],
)
def test_a_suffix_may_be_numbered(name, fits):
    assert has_suffix(name, ".tfrecord") == fits


@pytest.mark.parametrize("suffix", [".parquet", ".npy", ".tfrecord", ".tar"])
@pytest.mark.parametrize("kind", ["pipe", "link out"])
def test_a_file_of_pictures_is_a_plain_one_inside_of_the_folder(tmp_path, suffix, kind):
    """A pipe would be waited for by its reader for ever."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    if kind == "pipe":
        os.mkfifo(folder / f"train{suffix}")
    else:
        (tmp_path / "elsewhere").write_text("")
        (folder / f"train{suffix}").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(DataError, match=r"a file in .*: |no .* file in"):
        find_files(Request(images=str(folder)), suffix)
