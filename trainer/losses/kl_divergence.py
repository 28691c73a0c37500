"""Divergence of the predicted classes from a label, which may be smoothed."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from trainer.losses.arithmetic import at_least_float32, check_share, smoothed

TASK = "classification"


def build(label_smoothing: float = 0.0) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
    """The loss of logits [B, classes] and labels [B]: cross-entropy less the entropy of the
    smoothed label, so that it is 0 if nothing is left to learn.
    """
    check_share("label_smoothing", label_smoothing)

    def loss(logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        logits = at_least_float32(logits)
        wanted = smoothed(labels, logits, label_smoothing)
        terms = tf.math.xlogy(wanted, wanted) - wanted * tf.nn.log_softmax(logits)
        return tf.reduce_sum(terms, -1)

    return loss
