"""`loss.class_weights` as one number a class: as given, or from the training split's counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from preprocess.dataset_format import Manifest
from preprocess.shell.errors import ConfigError
from preprocess.shell.nearest import did_you_mean
from trainer.config.keys import Config, with_values
from trainer.config.learning_sections import BALANCED
from trainer.data.stored_labels import stored_labels

KEY = "loss.class_weights"


def with_class_weights(config: Config, dataset: str, manifest: Manifest) -> Config:
    """The configuration with one number for each class, if it has class weights.

    Raises:
      ConfigError: a class that the dataset does not have.
      DataError: a record of the training split is damaged, or its label is outside of the classes.
    """
    given = config.loss.class_weights
    if not given:
        return config
    if given == BALANCED:
        split = manifest.split(config.data.train_split)
        labels = stored_labels(dataset, split, len(manifest.classes))
        counts = np.bincount(labels, minlength=len(manifest.classes))
        weights = balanced(counts.tolist())
    else:
        assert isinstance(given, Mapping)
        for name in given:
            if name not in manifest.classes:
                hint = did_you_mean(name, manifest.classes)
                raise ConfigError(f"{KEY}: the dataset has no class '{name[:80]}'{hint}")
        weights = [float(str(given.get(name, 1.0))) for name in manifest.classes]
    return with_values(config, {KEY: dict(zip(manifest.classes, weights, strict=True))})


def balanced(counts: Sequence[int]) -> list[float]:
    """Class weights with which every class that has records counts the same in a pass, and a record
    counts 1 on average; 1 for a class without records.
    """
    present = sum(count > 0 for count in counts)
    return [sum(counts) / (present * count) if count else 1.0 for count in counts]
