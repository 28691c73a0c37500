"""Checks, before training, whether a dataset and a configuration allow learning anything."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from preprocess.dataset_format import Manifest
from preprocess.shell.errors import ConfigError
from trainer.config.keys import Config
from trainer.config.task_table import task_kind
from trainer.data.mixed import MixedReader
from trainer.data.reader import Reader, SetReader
from trainer.data.sets import TrainingSet, validation_splits
from trainer.data.storage import is_address
from trainer.data.stored_labels import stored_labels
from trainer.data.triplets import TripletReader
from trainer.metrics import MAJORITY

COUNTED_BYTES = 256 << 20  # of a split's pictures; counting classes of larger ones takes too long
SHOWN = 8  # classes in one line


@dataclasses.dataclass(frozen=True)
class Census:
    """What a split has for learning or measuring.

    Attributes:
      classes: number of pictures of each class or label; None without classes, or if counting would
        take too long.
      counted: number of triplets whose odd picture has a majority; None without triplets.
      records: of the split.
    """

    classes: tuple[int, ...] | None = None
    counted: int | None = None
    records: int = 0


def check_learnable(config: Config, manifest: Manifest) -> None:
    """Raises ConfigError for settings with which no gradient carries information."""
    kind = task_kind(config.task)
    if config.model.embedding_size < kind.least_embedding:
        raise ConfigError(
            f"model.embedding_size={config.model.embedding_size}: embeddings have the fixed length "
            "model.scale, so a single number has no gradient; set 2 or more"
        )
    if len(manifest.classes) < kind.least_classes:
        names = ", ".join(manifest.classes)
        raise ConfigError(
            f"the dataset has only one class ({names}), so there is nothing to distinguish; build "
            "it with two or more"
        )


def census_of_sets(
    config: Config,
    sets: Sequence[TrainingSet],
    reader: Reader,
    validation: Mapping[str, SetReader],
) -> dict[str, Census]:
    """The census of each split, by its name in the run; that of training is of all sets."""
    train = config.data.train_split
    readers = reader.readers if isinstance(reader, MixedReader) else [reader]
    parts = [
        census(each.path, each.manifest, train, its_reader)
        for each, its_reader in zip(sets, readers, strict=True)
    ]
    found = {train: _joined(parts)}
    for label, each, split in validation_splits(config, sets):
        found[label] = census(each.path, each.manifest, split, validation[label])
    return found


def _joined(parts: Sequence[Census]) -> Census:
    classes = [part.classes for part in parts if part.classes is not None]
    counted = [part.counted for part in parts if part.counted is not None]
    return Census(
        classes=tuple(map(sum, zip(*classes, strict=True))) if len(classes) == len(parts) else None,
        counted=sum(counted) if len(counted) == len(parts) else None,
        records=sum(part.records for part in parts),
    )


def census(dataset: str, manifest: Manifest, name: str, reader: SetReader) -> Census:
    """The census of a split, from its reader."""
    if isinstance(reader, TripletReader):
        counted = int((np.asarray(reader.votes).max(axis=1) > MAJORITY).sum())
        return Census(counted=counted, records=reader.records)
    labels = _labels(dataset, manifest, name) if manifest.classes else None
    if labels is None:
        return Census(records=reader.records)
    counts = np.bincount(labels, minlength=len(manifest.classes))
    return Census(classes=tuple(counts.tolist()), records=reader.records)


def _labels(dataset: str, manifest: Manifest, name: str) -> NDArray[np.int64] | None:
    """int64[N] of a split's pictures; None if that is too much to read."""
    shards = manifest.split(name).image_shards()
    if is_address(os.path.join(dataset, "")) or sum(s.bytes for s in shards) > COUNTED_BYTES:
        return None
    return stored_labels(dataset, manifest.split(name), len(manifest.classes))


def warnings(config: Config, manifest: Manifest, found: Mapping[str, Census]) -> list[str]:
    """Problems of the splits, one line each.

    Args:
      config: of the run.
      manifest: of the dataset.
      found: census of each split in use.
    """
    lines = []
    train = config.data.train_split
    for name, each in found.items():
        if each.counted == 0:
            lines.append(
                f"split '{name}': none of {each.records} triplets has a majority, so no accuracy "
                "can be measured" + (" and there is little to learn" if name == train else "")
            )
    trained, classes = found[train].classes, manifest.classes
    if trained is None:
        return lines
    missing = [name for name, count in zip(classes, trained, strict=True) if not count]
    if missing:
        lines.append(
            f"split '{train}' has no picture of {_shortened(missing)}: a class without training "
            "pictures is never predicted; add pictures, or change the splits"
        )
    for name, each in found.items():
        present = sum(count > 0 for count in each.classes or ())
        if present == 1 < task_kind(config.task).least_classes:
            lines.append(
                f"split '{name}' has pictures of only one class: its accuracy means little"
            )
    return lines


def census_in_words(name: str, found: Census, classes: tuple[str, ...]) -> str:
    """The content of a split, in one line."""
    if found.counted is not None:
        return f"{name}: {found.counted} of {found.records} triplets have a majority"
    if found.classes is None:
        uncounted = ", classes not counted (too much to read)" if classes else ""
        return f"{name}: {found.records} pictures{uncounted}"
    ordered = sorted(zip(found.classes, classes, strict=True), key=lambda pair: -pair[0])
    return f"{name}: {_shortened([f'{label} {count}' for count, label in ordered])}"


def _shortened(texts: list[str]) -> str:
    """The first few texts in one line, and how many more there are."""
    more = len(texts) - SHOWN
    return ", ".join(texts[:SHOWN]) + (f" and {more} more" if more > 0 else "")
