"""Numbers of a symmetric beta distribution, from uniform ones.

TensorFlow draws them by rejection, whose numbers depend on the device and on how many are drawn;
inverting the distribution function gives one for each uniform number.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

_STEPS = 4096  # of the table; between them it is a straight line
_POINTS = 1 << 16  # of the integral


def beta_quantiles(alpha: float, steps: int = _STEPS) -> NDArray[np.float64]:
    """float64 [steps + 1]: which x has i / steps of Beta(alpha, alpha) below it.

    The density x^(alpha-1) (1-x)^(alpha-1) is infinite at 0 for alpha < 1. In z = x^p it is
    z^(alpha/p-1) (1-x)^(alpha-1) / p, which for p = alpha is smooth up to x = 1/2; the rest is its
    mirror.
    """
    p = min(alpha, 1.0)
    z = np.linspace(0, 0.5**p, _POINTS)
    x = z ** (1 / p)
    density = z ** (alpha / p - 1) * (1 - x) ** (alpha - 1)
    below = np.concatenate([[0], np.cumsum((density[1:] + density[:-1]) / 2)])
    half = np.interp(np.linspace(0, 0.5, steps // 2 + 1), below / below[-1] / 2, x)
    return np.concatenate([half, 1 - half[-2::-1]])


class Beta:
    """Turns uniform numbers into numbers of Beta(alpha, alpha)."""

    def __init__(self, alpha: float) -> None:
        self._table = beta_quantiles(alpha).astype(np.float32)

    def __call__(self, numbers: tf.Tensor) -> tf.Tensor:
        """float32 of the shape of `numbers`, which are in [0, 1)."""
        table, steps = tf.constant(self._table), len(self._table) - 1
        place = numbers * steps
        below = tf.minimum(tf.cast(place, tf.int32), steps - 1)
        low, high = tf.gather(table, below), tf.gather(table, below + 1)
        return low + (high - low) * (place - tf.cast(below, tf.float32))
