"""What records have besides their picture, as tensors of a batch: labels, numbers, weights."""

from __future__ import annotations

import tensorflow as tf

from preprocess.dataset_format import ImageKey, Manifest, parts_of
from preprocess.shell.entries import load
from trainer.config.task_table import task_kind
from trainer.data.rows import Tensors

OUTSIDE_LABEL = "a record has a label outside of the classes"
WEIGHT = "record_weight"


class Targets:
    """Targets of a dataset whose image records have one class each.

    Attributes:
      classes: their number; labels are below it.
      weighted: whether records have weights.
    """

    def __init__(self, manifest: Manifest) -> None:
        self.classes = len(manifest.classes)
        self.weighted = manifest.weighted

    @property
    def features(self) -> dict[str, object]:
        """How they are parsed: the features of a record besides those of every picture."""
        return {ImageKey.WEIGHT: tf.io.FixedLenFeature([], tf.float32)} if self.weighted else {}

    def specs(self, size: int) -> dict[str, tf.TensorSpec]:
        """The shapes for a batch of `size` rows, by tensor name."""
        weights = {WEIGHT: tf.TensorSpec([size], tf.float32)} if self.weighted else {}
        return self._specs(size) | weights

    def tensors(self, features: Tensors) -> Tensors:
        """The tensors of parsed records, [b, ...] each, or of one record.

        Raises InvalidArgumentError with OUTSIDE_LABEL if a label is not among the classes.
        """
        weights = {WEIGHT: features[ImageKey.WEIGHT]} if self.weighted else {}
        return self._tensors(features) | weights

    def _specs(self, size: int) -> dict[str, tf.TensorSpec]:
        return {"label": tf.TensorSpec([size], tf.int64)}

    def _tensors(self, features: Tensors) -> Tensors:
        return {"label": checked_labels(features[ImageKey.LABEL], 0, self.classes)}


class SeveralLabels(Targets):
    """Targets with any number of labels: `labels` float32 [b,C] is 1 for a record's labels."""

    @property
    def features(self) -> dict[str, object]:
        """Padded with -1 to the largest number of labels of a record in the batch."""
        labels = tf.io.FixedLenSequenceFeature([], tf.int64, allow_missing=True, default_value=-1)
        return {**super().features, ImageKey.LABELS: labels}

    def _specs(self, size: int) -> dict[str, tf.TensorSpec]:
        return {"labels": tf.TensorSpec([size, self.classes], tf.float32)}

    def _tensors(self, features: Tensors) -> Tensors:
        labels = checked_labels(features[ImageKey.LABELS], -1, self.classes)
        hot = tf.reduce_sum(tf.one_hot(labels, self.classes), -2)  # -1 gives all zeros
        return {"labels": tf.minimum(hot, 1)}


class Numbers(Targets):
    """Targets with one number for each of the manifest's targets: `numbers` float32 [b,T]."""

    def __init__(self, manifest: Manifest) -> None:
        super().__init__(manifest)
        self._count = len(manifest.targets)

    @property
    def features(self) -> dict[str, object]:
        """Every record has all of them."""
        numbers = tf.io.FixedLenFeature([self._count], tf.float32)
        return {**super().features, ImageKey.TARGETS: numbers}

    def _specs(self, size: int) -> dict[str, tf.TensorSpec]:
        return {"numbers": tf.TensorSpec([size, self._count], tf.float32)}

    def _tensors(self, features: Tensors) -> Tensors:
        return {"numbers": features[ImageKey.TARGETS]}


class SeveralTargets(Targets):
    """Those of each part of the manifest's task."""

    def __init__(self, manifest: Manifest) -> None:
        super().__init__(manifest)
        parts: list[type[Targets]] = [load(task_kind(p).targets) for p in parts_of(manifest.task)]
        self._parts = [part(manifest) for part in parts]

    @property
    def features(self) -> dict[str, object]:
        """All of them."""
        return {name: each for part in self._parts for name, each in part.features.items()}

    def _specs(self, size: int) -> dict[str, tf.TensorSpec]:
        return {name: each for part in self._parts for name, each in part._specs(size).items()}

    def _tensors(self, features: Tensors) -> Tensors:
        return {name: t for part in self._parts for name, t in part._tensors(features).items()}


def targets_of(manifest: Manifest) -> Targets:
    """The targets of a dataset's records."""
    kind: type[Targets] = load(task_kind(manifest.task).targets)
    return kind(manifest)


def checked_labels(labels: tf.Tensor, least: int, classes: int) -> tf.Tensor:
    """int64 labels, unchanged; InvalidArgumentError if one is below `least` or not among the
    classes.

    A loss would fail on them on a CPU, and turn them into NaN on a GPU.
    """
    flat = tf.reshape(labels, [-1])
    odd = tf.boolean_mask(flat, (flat < least) | (flat >= classes))
    right = tf.Assert(tf.size(odd) == 0, [OUTSIDE_LABEL, odd])
    with tf.control_dependencies([right]):
        return tf.identity(labels)
