"""Logarithm of the hyperbolic cosine of the error, averaged over targets."""

from __future__ import annotations

import math
from collections.abc import Callable

import tensorflow as tf

from trainer.losses.arithmetic import at_least_float32

TASK = "regression"


def build() -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
    """The loss of predictions [B, T] and truth [B, T], both as standardized deviations."""

    def loss(numbers: tf.Tensor, wanted: tf.Tensor) -> tf.Tensor:
        numbers = at_least_float32(numbers)
        error = numbers - tf.cast(wanted, numbers.dtype)
        return tf.reduce_mean(tf.abs(error) + tf.nn.softplus(-2 * tf.abs(error)) - math.log(2), -1)

    return loss
