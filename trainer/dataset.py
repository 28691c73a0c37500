"""A dataset directory opened for training: its manifest, and whether it fits a configuration.

Without TensorFlow, so that a command can tell before it waits for that.
"""

from __future__ import annotations

from typing import Any

from preprocess.dataset_format import DatasetError, Manifest
from trainer.errors import ConfigError, DataError


def load_manifest(dataset: str) -> Manifest:
    """The manifest of a dataset, in a directory or at an address such as gs://...

    Raises:
      DataError: there is none there.
      StorageError: what has the address does not answer.
    """
    if "://" in dataset:
        from trainer.reader.storage import read_manifest  # imports TensorFlow

        return read_manifest(dataset)
    try:
        return Manifest.load(dataset)
    except DatasetError as error:
        raise DataError(str(error)) from None


def check_fits(config: Any, manifest: Manifest, dataset: str) -> None:
    """Raises ConfigError where the dataset is for another task, or lacks a split that is used."""
    if config.task != manifest.task:
        raise ConfigError(f"task={config.task}, but '{dataset}' is for task={manifest.task}")
    for name in (config.data.train_split, *config.data.validation_splits):
        if name not in manifest.splits:
            raise ConfigError(
                f"no split '{name}' in '{dataset}', it has {', '.join(manifest.splits)}; give "
                "--config.data.validation_splits=NAME, or build with --validation_fraction=0.1"
            )
