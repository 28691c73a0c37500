"""What records hold beside their picture, as tensors of a batch: labels, and weights."""

from __future__ import annotations

import tensorflow as tf

from preprocess.dataset_format import ImageKey, Manifest
from preprocess.shell.entries import load
from trainer.config.task_table import task_kind
from trainer.data.rows import Tensors

OUTSIDE_LABEL = "a record has a label that is not of the classes"
WEIGHT = "record_weight"


class Targets:
    """Of the image records of a dataset, which have one class each.

    Attributes:
      classes: of the dataset; a label is a number below.
      weighted: whether each record has a weight.
    """

    def __init__(self, manifest: Manifest) -> None:
        self.classes = len(manifest.classes)
        self.weighted = manifest.weighted

    @property
    def features(self) -> dict[str, object]:
        """How they are parsed: the features of a record beside those of every picture."""
        return {ImageKey.WEIGHT: tf.io.FixedLenFeature([], tf.float32)} if self.weighted else {}

    def specs(self, size: int) -> dict[str, tf.TensorSpec]:
        """Of a batch of `size` rows, by the name of the tensor."""
        weights = {WEIGHT: tf.TensorSpec([size], tf.float32)} if self.weighted else {}
        return self._specs(size) | weights

    def tensors(self, features: Tensors) -> Tensors:
        """The tensors of parsed records, [b, ...] each, or of one of them.

        An InvalidArgumentError with OUTSIDE_LABEL comes where a label is not of the classes.
        """
        weights = {WEIGHT: features[ImageKey.WEIGHT]} if self.weighted else {}
        return self._tensors(features) | weights

    def _specs(self, size: int) -> dict[str, tf.TensorSpec]:
        return {"label": tf.TensorSpec([size], tf.int64)}

    def _tensors(self, features: Tensors) -> Tensors:
        return {"label": checked_labels(features[ImageKey.LABEL], 0, self.classes)}


class SeveralLabels(Targets):
    """Records with any number of labels: `labels` float32 [b,C] is 1 where a record has one."""

    @property
    def features(self) -> dict[str, object]:
        """Filled up with -1 to the most labels that a record of the batch has."""
        labels = tf.io.FixedLenSequenceFeature([], tf.int64, allow_missing=True, default_value=-1)
        return {**super().features, ImageKey.LABELS: labels}

    def _specs(self, size: int) -> dict[str, tf.TensorSpec]:
        return {"labels": tf.TensorSpec([size, self.classes], tf.float32)}

    def _tensors(self, features: Tensors) -> Tensors:
        labels = checked_labels(features[ImageKey.LABELS], -1, self.classes)
        hot = tf.reduce_sum(tf.one_hot(labels, self.classes), -2)  # of -1 all are 0
        return {"labels": tf.minimum(hot, 1)}


class Numbers(Targets):
    """Records with a number each of the manifest's targets: `numbers` float32 [b,T]."""

    def __init__(self, manifest: Manifest) -> None:
        super().__init__(manifest)
        self._count = len(manifest.targets)

    @property
    def features(self) -> dict[str, object]:
        """All of them are there in each record."""
        numbers = tf.io.FixedLenFeature([self._count], tf.float32)
        return {**super().features, ImageKey.TARGETS: numbers}

    def _specs(self, size: int) -> dict[str, tf.TensorSpec]:
        return {"numbers": tf.TensorSpec([size, self._count], tf.float32)}

    def _tensors(self, features: Tensors) -> Tensors:
        return {"numbers": features[ImageKey.TARGETS]}


def targets_of(manifest: Manifest) -> Targets:
    """Those of a dataset's records."""
    kind: type[Targets] = load(task_kind(manifest.task).targets)
    return kind(manifest)


def checked_labels(labels: tf.Tensor, least: int, classes: int) -> tf.Tensor:
    """int64 labels as they are; an InvalidArgumentError where one is below `least` or not of the
    classes.

    A loss would take it for a fault on a CPU, and make NaN of it on a GPU.
    """
    flat = tf.reshape(labels, [-1])
    odd = tf.boolean_mask(flat, (flat < least) | (flat >= classes))
    right = tf.Assert(tf.size(odd) == 0, [OUTSIDE_LABEL, odd])
    with tf.control_dependencies([right]):
        return tf.identity(labels)
