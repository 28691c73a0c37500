"""Square of the error, the mean over numbers."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from trainer.losses.arithmetic import at_least_float32

TASK = "regression"


def build() -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
    """The loss of numbers [B, T] and what they ought to be [B, T], both in deviations."""

    def loss(numbers: tf.Tensor, wanted: tf.Tensor) -> tf.Tensor:
        numbers = at_least_float32(numbers)
        error = numbers - tf.cast(wanted, numbers.dtype)
        return tf.reduce_mean(tf.square(error), -1)

    return loss
