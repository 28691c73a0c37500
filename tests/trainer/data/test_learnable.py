"""What cannot be learned is refused or said before anybody waits for it."""

import dataclasses

import pytest

from preprocess.dataset_format import Manifest
from preprocess.shell.errors import ConfigError, DataError
from tests.trainer import datasets
from trainer.data.learnable import Census, census, census_in_words, check_learnable, warnings
from trainer.data.reader import open_reader
from trainer.data.records import ShardRecords
from trainer.data.stored_labels import stored_labels


def triplets(**changes):
    return datasets.configuration(datasets.TRIPLET, **changes)


def classes(**changes):
    return datasets.configuration(datasets.CLASSIFICATION, **changes)


def test_an_embedding_of_one_number_is_refused(triplet_data):
    manifest = Manifest.load(triplet_data)
    with pytest.raises(ConfigError, match=r"embedding_size=1: .* set 2 or more"):
        check_learnable(triplets(model__embedding_size=1), manifest)
    check_learnable(triplets(model__embedding_size=2), manifest)


def test_a_dataset_of_one_class_is_refused(class_data):
    manifest = dataclasses.replace(Manifest.load(class_data), classes=("bright",))
    with pytest.raises(ConfigError, match=r"one class \(bright\)"):
        check_learnable(classes(model__embedding_size=1), manifest)


def test_classes_are_counted_from_the_stored_labels(class_data):
    """21 training pictures by turns bright and dark, 10 of the test."""
    manifest, config = Manifest.load(class_data), classes()
    found = {}
    for name in ("train", "test"):
        reader = open_reader(class_data, manifest, name, config, training=False)
        found[name] = census(class_data, manifest, name, reader)
    assert found["train"].classes == (11, 10)
    assert found["test"].classes == (5, 5)
    assert census_in_words("train", found["train"], manifest.classes) == "train: bright 11, dark 10"
    assert warnings(config, manifest, found) == []


@pytest.mark.parametrize("known", [("bright",), ()])
def test_a_stored_label_that_is_not_of_the_classes_is_damage(class_data, known):
    """Else the counts would have a place for it: for a label of 10^15 as many."""
    split = Manifest.load(class_data).split("train")
    with pytest.raises(DataError, match=r"record [01] of '.*' has a label outside of the cl"):
        stored_labels(class_data, split, len(known))


def test_a_stored_record_that_is_no_example_is_damage(class_data, monkeypatch):
    """Its checksum is right: somebody wrote it so."""
    split = Manifest.load(class_data).split("train")
    monkeypatch.setattr(ShardRecords, "payload", lambda self, record: b"\xff" * 9)
    with pytest.raises(DataError, match=r"record 0 of .* is no serialised example"):
        stored_labels(class_data, split, 2)


def test_triplets_with_a_majority_are_counted(triplet_data):
    manifest = Manifest.load(triplet_data)
    reader = open_reader(triplet_data, manifest, "test", triplets(), training=False)
    found = census(triplet_data, manifest, "test", reader)
    assert 0 < found.counted <= found.records == 27
    assert census_in_words("test", found, ()).startswith(
        f"test: {found.counted} of 27 triplets have"
    )


@pytest.mark.parametrize(
    ("train", "test", "expected"),
    [
        ((5, 0), (3, 3), ["no picture of dark", "'train' has pictures of only one class"]),
        ((5, 5), (3, 0), ["'test' has pictures of only one class"]),
        (None, None, []),
    ],
)
def test_a_class_missing_from_training_and_a_split_of_one_class_are_said(
    class_data, train, test, expected
):
    found = {"train": Census(classes=train), "test": Census(classes=test)}
    lines = warnings(classes(), Manifest.load(class_data), found)
    assert len(lines) == len(expected)
    assert all(words in line for words, line in zip(expected, lines, strict=True))


def test_a_split_without_a_counted_triplet_is_said(triplet_data):
    found = {"train": Census(counted=3, records=9), "test": Census(counted=0, records=27)}
    (line,) = warnings(triplets(), Manifest.load(triplet_data), found)
    assert line.startswith("split 'test': none of 27 triplets has a majority")


def test_many_classes_are_a_line_and_a_count_of_the_rest():
    names = tuple(f"c{number}" for number in range(20))
    words = census_in_words("train", Census(classes=tuple(range(20))), names)
    assert words.startswith("train: c19 19, c18 18") and words.endswith("and 12 more")
