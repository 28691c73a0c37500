"""Binary cross-entropy of each label, averaged over labels."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from trainer.losses.arithmetic import at_least_float32, check_share

TASK = "multilabel"


def build(label_smoothing: float = 0.0) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
    """The loss of logits [B, labels] and 0 or 1 [B, labels]; smoothing moves both towards 1/2."""
    check_share("label_smoothing", label_smoothing)

    def loss(logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        logits = at_least_float32(logits)
        wanted = tf.cast(labels, logits.dtype) * (1 - label_smoothing) + label_smoothing / 2
        found = tf.nn.sigmoid_cross_entropy_with_logits(labels=wanted, logits=logits)
        return tf.reduce_mean(found, -1)

    return loss
