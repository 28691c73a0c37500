"""Binary cross-entropy that down-weights easy labels, averaged over labels.

Lin et al., "Focal Loss for Dense Object Detection" (ICCV 2017, arXiv 1708.02002).
"""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from trainer.losses.arithmetic import at_least_float32, check_not_negative, check_share, focus

TASK = "multilabel"


def build(
    gamma: float = 2.0, alpha: float = 0.5, label_smoothing: float = 0.0
) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
    """The loss of logits [B, labels] and 0 or 1 [B, labels].

    `alpha` in [0, 1) weights positive labels, 1 - alpha negative ones, both times 2: with `alpha`
    0.5 and `gamma` 0 this is binary cross-entropy.
    """
    check_not_negative("gamma", gamma)
    check_share("alpha", alpha)
    check_share("label_smoothing", label_smoothing)

    def loss(logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        logits = at_least_float32(logits)
        wanted = tf.cast(labels, logits.dtype) * (1 - label_smoothing) + label_smoothing / 2
        found = tf.nn.sigmoid_cross_entropy_with_logits(labels=wanted, logits=logits)
        gap = tf.abs(wanted - tf.sigmoid(logits))
        side = 2 * (wanted * alpha + (1 - wanted) * (1 - alpha))
        return tf.reduce_mean(side * focus(gap, gamma) * found, -1)

    return loss
