"""`loss.class_weights` as one number a class: as given, or from the training split's counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from preprocess.dataset_format import Manifest
from preprocess.shell.errors import ConfigError
from preprocess.shell.nearest import did_you_mean
from trainer.config.keys import Config, with_values
from trainer.config.learning_sections import BALANCED
from trainer.data.sets import TrainingSet, shares_of
from trainer.data.stored_labels import stored_labels

KEY = "loss.class_weights"


def with_class_weights(
    config: Config, dataset: str, manifest: Manifest, further: Sequence[TrainingSet] = ()
) -> Config:
    """The configuration with one number for each class, if it has class weights.

    Of several sets, a class counts by its share of the rows that are trained on.

    Raises:
      ConfigError: a class that the dataset does not have.
      DataError: a record of the training split is damaged, or its label is outside of the classes.
    """
    given = config.loss.class_weights
    if not given:
        return config
    if given == BALANCED:
        sets = (TrainingSet(dataset, manifest), *further)
        train_split = config.data.train_split
        counts = [_counts(train_split, each) for each in sets]
        if further:
            parts = shares_of(config.data, sets).parts
            shares = [
                part / each.records(train_split) for part, each in zip(parts, sets, strict=True)
            ]
            weights = balanced(np.average(counts, axis=0, weights=shares).tolist())
        else:
            weights = balanced(counts[0].tolist())
    else:
        assert isinstance(given, Mapping)
        for name in given:
            if name not in manifest.classes:
                hint = did_you_mean(name, manifest.classes)
                raise ConfigError(f"{KEY}: the dataset has no class '{name[:80]}'{hint}")
        weights = [float(str(given.get(name, 1.0))) for name in manifest.classes]
    return with_values(config, {KEY: dict(zip(manifest.classes, weights, strict=True))})


def _counts(train_split: str, each: TrainingSet) -> NDArray[np.int64]:
    """int64[classes]: how many records of a set's training split have each class."""
    classes = len(each.manifest.classes)
    split = each.manifest.split(train_split)
    return np.bincount(stored_labels(each.path, split, classes), minlength=classes)


def balanced(counts: Sequence[float]) -> list[float]:
    """Class weights with which every class that has records counts the same in a pass, and a record
    counts 1 on average; 1 for a class without records.
    """
    present = sum(count > 0 for count in counts)
    return [sum(counts) / (present * count) if count else 1.0 for count in counts]
