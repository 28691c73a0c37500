"""Cross-entropy that down-weights records which are already classified well.

Lin et al., "Focal Loss for Dense Object Detection" (ICCV 2017, arXiv 1708.02002), over a softmax,
as Keras's CategoricalFocalCrossentropy; instead of its `alpha`, use `loss.class_weights`.
"""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from trainer.losses.arithmetic import (
    at_least_float32,
    check_not_negative,
    check_share,
    focus,
    smoothed,
)

TASK = "classification"


def build(
    gamma: float = 2.0, label_smoothing: float = 0.0
) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
    """The loss of logits [B, classes] and labels [B]; `gamma` 0 is cross-entropy."""
    check_not_negative("gamma", gamma)
    check_share("label_smoothing", label_smoothing)

    def loss(logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        logits = at_least_float32(logits)
        logarithms = tf.nn.log_softmax(logits)
        weighted = focus(-tf.math.expm1(logarithms), gamma) * -logarithms
        return tf.reduce_sum(smoothed(labels, logits, label_smoothing) * weighted, -1)

    return loss
