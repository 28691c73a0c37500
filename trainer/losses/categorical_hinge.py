"""Hinge of classes: how far the label's logit falls short of the largest other one plus 1."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from trainer.losses.arithmetic import at_least_float32, smoothed

TASK = "classification"


def build() -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
    """The loss of logits [B, classes] and labels [B]: max(0, 1 + largest other - own), where the
    largest other one is at least 0, as in Keras.
    """

    def loss(logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        logits = at_least_float32(logits)
        hot = smoothed(labels, logits)
        own = tf.reduce_sum(hot * logits, -1)
        return tf.nn.relu(1 + tf.reduce_max((1 - hot) * logits, -1) - own)

    return loss
