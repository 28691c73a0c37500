"""A configuration against a dataset and the machine, before anything is built."""

import dataclasses

import pytest

from preprocess.shell.errors import ConfigError
from tests.trainer import datasets
from trainer.data import dataset
from trainer.data.dataset import check_fits, load_manifest


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"image_size": 4096}, "4096x4096 (image_size)"),
        ({"augment__enabled": True, "augment__resize_to": 4096}, "4096x4096 (augment.resize_to)"),
    ],
)
def test_pictures_that_no_memory_holds_are_refused_before_anything_is_read(
    class_data, monkeypatch, changes, name
):
    """8 pictures of 4096 x 4096 x 3 float32 are 1.61 GB."""
    config = datasets.configuration(datasets.CLASSIFICATION, **changes)
    monkeypatch.setattr(dataset, "available_bytes", lambda: 1_600_000_000)
    with pytest.raises(ConfigError) as caught:
        check_fits(config, load_manifest(class_data), class_data)
    assert name in str(caught.value) and "take 1.61 GB" in str(caught.value)
    monkeypatch.setattr(dataset, "available_bytes", lambda: 1_700_000_000)
    check_fits(config, load_manifest(class_data), class_data)


def test_a_size_of_a_layer_that_is_off_does_not_count(class_data, monkeypatch):
    changes = {"augment__enabled": False, "augment__resize_to": 4096}
    config = datasets.configuration(datasets.CLASSIFICATION, **changes)
    monkeypatch.setattr(dataset, "available_bytes", lambda: 100_000_000)
    check_fits(config, load_manifest(class_data), class_data)


def test_a_crop_larger_than_the_stored_pictures_is_refused_before_anything_is_said(
    class_data, tmp_path, train_here
):
    """Pictures of 24x24: one line, and no run directory."""
    changes = {"augment__enabled": True, "augment__crop": 25, "augment__cutout": 0}
    config = datasets.configuration(datasets.CLASSIFICATION, **changes)
    with pytest.raises(ConfigError, match=r"augment\.crop=25 does not fit into pictures of 24x24"):
        train_here(config, class_data, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_pictures_of_several_sizes_count_with_the_one_they_are_stretched_to(tmp_path):
    data = datasets.class_folders(tmp_path, mixed=True)
    config = datasets.configuration(
        datasets.CLASSIFICATION, augment__enabled=True, augment__crop=25, image_size=24
    )
    with pytest.raises(ConfigError, match=r"crop=25 does not fit into pictures of 24x24"):
        check_fits(config, load_manifest(data), data)
    check_fits(dataclasses.replace(config, image_size=25), load_manifest(data), data)


@pytest.mark.parametrize(
    "changes",
    [
        {"augment__crop": 24},
        {"augment__crop": 32, "augment__resize_to": 32},
        {"augment__crop": 32, "augment__enabled": False},
    ],
)
def test_a_crop_that_fits_or_is_off_is_not_refused(class_data, changes):
    config = datasets.configuration(
        datasets.CLASSIFICATION, **{"augment__enabled": True, **changes}
    )
    check_fits(config, load_manifest(class_data), class_data)
