"""Squared error of the predicted probabilities of classes, summed over them (Brier 1950)."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from trainer.losses.arithmetic import at_least_float32, check_share, smoothed

TASK = "classification"


def build(label_smoothing: float = 0.0) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
    """The loss of logits [B, classes] and labels [B], in [0, 2]."""
    check_share("label_smoothing", label_smoothing)

    def loss(logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        logits = at_least_float32(logits)
        error = tf.nn.softmax(logits) - smoothed(labels, logits, label_smoothing)
        return tf.reduce_sum(tf.square(error), -1)

    return loss
