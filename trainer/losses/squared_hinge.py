"""Square of how far each label's logit falls short of 1 on its side of 0, averaged over labels."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from trainer.losses.arithmetic import at_least_float32

TASK = "multilabel"


def build() -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
    """The loss of logits [B, labels] and 0 or 1 [B, labels]."""

    def loss(logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        logits = at_least_float32(logits)
        short = tf.nn.relu(1 - (2 * tf.cast(labels, logits.dtype) - 1) * logits)
        return tf.reduce_mean(tf.square(short), -1)

    return loss
