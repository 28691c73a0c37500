"""Mixing the pictures of a batch and their labels, from the keys of `augment`.

Rows 2k and 2k + 1 of the global batch are mixed with each other, each with a share of its own. The
order of a pass is shuffled, so that is a random partner in every pass; and as a replica holds an
even number of rows side by side, no picture has to come from another replica: any number of
replicas mixes the same.

A row of a mixed label has the weighted mean of two losses, one for each picture's label. That
needs nothing of a loss; for cross-entropy it equals the loss of the mixed label.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, TypeAlias

import tensorflow as tf

from preprocess.shell.errors import ConfigError
from trainer.config.entries import MIXERS
from trainer.config.learning_sections import AugmentConfig
from trainer.models.randomness import uniform

Mixer: TypeAlias = "Callable[[tf.Tensor, tf.Tensor], tuple[tf.Tensor, tf.Tensor]]"
Tensors: TypeAlias = "dict[str, tf.Tensor]"
IMAGE = "image"


class Judge(Protocol):
    """What a training step asks of a task, and of a mixture in its place."""

    @property
    def target(self) -> str:
        """See trainer/tasks/task.py."""

    def loss(self, outputs: tf.Tensor, batch: Tensors) -> tf.Tensor:
        """Likewise."""

    def minimized(self, losses: tf.Tensor, outputs: tf.Tensor, batch: Tensors) -> tf.Tensor:
        """Likewise."""

    def part_sums(self, outputs: tf.Tensor, batch: Tensors) -> list[tuple[tf.Tensor, tf.Tensor]]:
        """Likewise."""

    def factors(self, batch: Tensors) -> tf.Tensor | None:
        """Likewise."""

    def hits(self, outputs: tf.Tensor, batch: Tensors) -> tuple[tf.Tensor, tf.Tensor]:
        """Likewise."""


def build_mixers(augment: AugmentConfig) -> list[Mixer]:
    """What `augment` asks for; none when not enabled."""
    if not augment.enabled:
        return []
    built = [MIXERS.module(name).build(augment) for name in MIXERS.names()]
    return [mixer for mixer in built if mixer is not None]


def check_pairs(batch_size: int, replicas: int) -> None:
    """Raises ConfigError if rows of a batch cannot be paired within each of the replicas."""
    if batch_size % (2 * replicas):
        near = max(1, batch_size // (2 * replicas)) * 2 * replicas
        raise ConfigError(
            f"batch_size {batch_size} with augment.mixup or augment.cutmix, which pair the rows "
            f"of each of {replicas} replicas: take {near} or {near + 2 * replicas}"
        )


def partners(values: tf.Tensor) -> tf.Tensor:
    """Each pair of rows [b, ...], exchanged; the last of an odd number stays."""
    rows = tf.shape(values)[0]
    row = tf.range(rows)
    return tf.gather(values, tf.minimum(row + 1 - 2 * (row % 2), rows - 1))


class Mixture:
    """The mixed rows of one replica in one step: mixes the pictures, then judges the outputs.

    Attributes:
      target: of the task.
    """

    def __init__(self, mixers: Sequence[Mixer], judge: Judge, weight: tf.Tensor) -> None:
        """`weight`: float32 [b], 0 for padding, which is not mixed with."""
        self._mixers, self._judge = mixers, judge
        self.target = judge.target
        self._mixes = partners(weight) > 0
        self._shares: tf.Tensor | None = None

    def pictures(self, images: tf.Tensor) -> tf.Tensor:
        """float32 [b, H, W, C], mixed; called once, inside `randomness.keyed`."""
        others = partners(images)
        (mixed, shares), *rest = (mixer(images, others) for mixer in self._mixers)
        for also, its_shares in rest:  # one of two: a picture of both would have up to four labels
            first = uniform("mixing", ()) < 0.5
            mixed = tf.where(first[:, None, None, None], mixed, also)
            shares = tf.where(first, shares, its_shares)
        self._shares = tf.where(self._mixes, shares, 1.0)
        return tf.where(self._mixes[:, None, None, None], mixed, images)

    def loss(self, outputs: tf.Tensor, batch: Tensors) -> tf.Tensor:
        """float32 [b]: the mean of the losses of both labels, weighted as their pictures are."""
        ours, theirs = (self._judge.loss(outputs, each) for each in self._both(batch))
        our_weight, their_weight = self._weights(batch, ours.dtype)
        whole = our_weight + their_weight
        return tf.math.divide_no_nan(our_weight * ours + their_weight * theirs, whole)

    def minimized(self, losses: tf.Tensor, outputs: tf.Tensor, batch: Tensors) -> tf.Tensor:
        """`losses`: tasks of several parts are not mixed."""
        return losses

    def part_sums(self, outputs: tf.Tensor, batch: Tensors) -> list[tuple[tf.Tensor, tf.Tensor]]:
        """None, likewise."""
        return []

    def factors(self, batch: Tensors) -> tf.Tensor | None:
        """float32 [b]: the mixed weight of each record; None = all equal."""
        factors = self._judge.factors(batch)
        return None if factors is None else tf.add_n(self._weights(batch, factors.dtype))

    def hits(self, outputs: tf.Tensor, batch: Tensors) -> tuple[tf.Tensor, tf.Tensor]:
        """Correct is the label of the picture with the larger share."""
        assert self._shares is not None
        ours, theirs = (each[self.target] for each in self._both(batch))
        larger = tf.reshape(self._shares >= 0.5, [-1, *[1] * (len(ours.shape) - 1)])
        return self._judge.hits(outputs, {**batch, self.target: tf.where(larger, ours, theirs)})

    def _both(self, batch: Tensors) -> tuple[Tensors, Tensors]:
        """The batch, and that of the partners."""
        others = {name: partners(value) for name, value in batch.items() if name != IMAGE}
        return batch, {**others, IMAGE: batch[IMAGE]}

    def _weights(self, batch: Tensors, dtype: tf.DType) -> list[tf.Tensor]:
        """Of each row's own label and of its partner's: share times the record's factor."""
        assert self._shares is not None
        shares = tf.cast(self._shares, dtype)
        both = [shares, 1 - shares]
        factors = [self._judge.factors(each) for each in self._both(batch)]
        return [
            share if factor is None else share * tf.cast(factor, dtype)
            for share, factor in zip(both, factors, strict=True)
        ]
