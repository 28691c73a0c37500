"""Layers of the head, on features [N, F], in float32."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from trainer.compat.saving import registered
from trainer.models.layers.base import KeyedLayer


@registered
class KeyedDropout(KeyedLayer):
    """Dropout whose mask is a function of seed, step and row, so that replicas agree.

    Attributes:
      rate: share of features set to 0, in [0, 1); the others are divided by 1 - rate.
    """

    def __init__(self, rate: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.rate = rate

    def transform(self, inputs: tf.Tensor) -> tf.Tensor:
        """Returns float32 of the shape of `inputs`, all dimensions but the first static."""
        if not self.rate:
            return inputs
        kept = self.draw(inputs, inputs.shape[1:]) >= self.rate
        return tf.where(kept, inputs / (1 - self.rate), 0.0)

    def get_config(self) -> dict[str, object]:
        """Arguments to build this layer again."""
        return {**super().get_config(), "rate": self.rate}


@registered
class L2Normalize(tf.keras.layers.Layer):
    """Vectors to length 1 along the last axis; a zero vector stays zero, with a finite gradient.

    Attributes:
      epsilon: squared length below which a vector is divided by sqrt(epsilon) instead.
    """

    def __init__(self, epsilon: float = 1e-12, **kwargs: Any) -> None:
        super().__init__(**{"dtype": "float32", **kwargs})
        self.epsilon = epsilon

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Returns float32 of the shape of `inputs`."""
        return tf.math.l2_normalize(inputs, axis=-1, epsilon=self.epsilon)

    def get_config(self) -> dict[str, object]:
        """Arguments to build this layer again."""
        return {**super().get_config(), "epsilon": self.epsilon}


@registered
class Scale(tf.keras.layers.Layer):
    """Multiply by a constant: the radius of the sphere that embeddings lie on.

    Attributes:
      factor: the constant.
    """

    def __init__(self, factor: float, **kwargs: Any) -> None:
        super().__init__(**{"dtype": "float32", **kwargs})
        self.factor = factor

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Returns float32 of the shape of `inputs`."""
        return inputs * self.factor

    def get_config(self) -> dict[str, object]:
        """Arguments to build this layer again."""
        return {**super().get_config(), "factor": self.factor}
