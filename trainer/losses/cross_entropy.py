"""Categorical cross-entropy of integer labels."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from trainer.losses.arithmetic import at_least_float32, check_share, smoothed

TASK = "classification"


def build(label_smoothing: float = 0.0) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
    """The loss of logits [B, classes] and labels [B].

    `label_smoothing`, in [0, 1), is the share of a label that is spread over all classes.
    """
    check_share("label_smoothing", label_smoothing)
    if not label_smoothing:
        return class_loss

    def smooth(logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        logits = at_least_float32(logits)
        return tf.nn.softmax_cross_entropy_with_logits(
            labels=smoothed(labels, logits, label_smoothing), logits=logits
        )

    return smooth


def class_loss(logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    """Categorical cross-entropy of integer labels.

    Args:
      logits: float [B, classes].
      labels: int [B], each in [0, classes); padded rows need a valid label too, such as 0.

    Returns:
      float [B], -log softmax(logits)[label], float32 or, for float64 logits, float64.
    """
    return tf.nn.sparse_softmax_cross_entropy_with_logits(
        labels=tf.cast(labels, tf.int32), logits=at_least_float32(logits)
    )
