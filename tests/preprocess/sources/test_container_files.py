"""Names of files with many pictures: their suffix, and the split that they stand for."""

from __future__ import annotations

import pytest

from preprocess.sources.container_files import has_suffix, split_in_name


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
