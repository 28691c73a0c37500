"""What image records hold besides their picture, without TensorFlow: targets.py as NumPy rows."""

from __future__ import annotations

import abc
from typing import TypeAlias

import numpy as np

from preprocess.dataset_format import ImageKey, Manifest, parts_of
from preprocess.shell.entries import load
from trainer.config.task_table import task_kind
from trainer.data.picture_record import NO_LABEL, BadRecordError, Features, many, one

Field: TypeAlias = "tuple[str, type[np.generic], tuple[int, ...]]"  # name, type, shape of a record


class RecordTarget(abc.ABC):
    """One of the targets of a record.

    Attributes:
      field: of a row.
    """

    field: Field

    @abc.abstractmethod
    def __init__(self, manifest: Manifest) -> None:
        """Of the records of a dataset."""

    @abc.abstractmethod
    def read(self, features: Features) -> object:
        """Its value; raises BadRecordError."""


class LabelTarget(RecordTarget):
    """Its class."""

    def __init__(self, manifest: Manifest) -> None:
        self.field = ("label", np.int64, ())

    def read(self, features: Features) -> object:
        """See RecordTarget."""
        return one(features, ImageKey.LABEL, "int64_list", NO_LABEL)


class LabelsTarget(RecordTarget):
    """1 for each of its labels, else 0."""

    def __init__(self, manifest: Manifest) -> None:
        self._classes = len(manifest.classes)
        self.field = ("labels", np.float32, (self._classes,))

    def read(self, features: Features) -> object:
        """See RecordTarget."""
        hot = np.zeros(self._classes, np.float32)
        for label in many(features, ImageKey.LABELS, "int64_list"):
            if not NO_LABEL <= label < self._classes:
                raise BadRecordError(f"its label {label} is outside of the classes")
            if label != NO_LABEL:
                hot[label] = 1
        return hot


class NumbersTarget(RecordTarget):
    """Its numbers, in their own units."""

    def __init__(self, manifest: Manifest) -> None:
        self._count = len(manifest.targets)
        self.field = ("numbers", np.float32, (self._count,))

    def read(self, features: Features) -> object:
        """See RecordTarget."""
        return many(features, ImageKey.TARGETS, "float_list", self._count)


class _Weight(RecordTarget):
    def __init__(self, manifest: Manifest) -> None:
        self.field = ("record_weight", np.float32, ())

    def read(self, features: Features) -> object:
        """See RecordTarget."""
        return one(features, ImageKey.WEIGHT, "float_list")


class RecordTargets:
    """The targets of a dataset's image records, and their weights.

    Attributes:
      fields: of a record, named as the arrays of a batch.
      dtype: of a row with these fields.
    """

    def __init__(self, manifest: Manifest) -> None:
        kinds = [task_kind(task).row_target for task in parts_of(manifest.task)]
        self._parts: list[RecordTarget] = [load(kind)(manifest) for kind in kinds if kind]
        if manifest.weighted:
            self._parts.append(_Weight(manifest))
        self.fields: list[Field] = [part.field for part in self._parts]
        self.dtype = np.dtype([(name, kind, shape) for name, kind, shape in self.fields])

    def row(self, features: Features) -> tuple[object, ...]:
        """A row of `dtype`, of the parsed features of a record.

        Raises:
          BadRecordError: a target is missing, has a wrong type, or is a label outside of the
            classes.
        """
        return tuple(part.read(features) for part in self._parts)
