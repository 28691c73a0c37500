"""Half the square of errors up to `delta`, linear beyond, averaged over targets (Huber 1964)."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from preprocess.shell.errors import ConfigError
from trainer.losses.arithmetic import at_least_float32

TASK = "regression"


def build(delta: float) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
    """The loss of predictions [B, T] and truth [B, T], both as standardized deviations."""
    if not delta > 0:
        raise ConfigError(f"loss.delta={delta}: the Huber loss needs a number above 0")

    def loss(numbers: tf.Tensor, wanted: tf.Tensor) -> tf.Tensor:
        numbers = at_least_float32(numbers)
        size = tf.abs(numbers - tf.cast(wanted, numbers.dtype))
        near = tf.minimum(size, delta)
        return tf.reduce_mean(near * (size - near / 2), -1)

    return loss
