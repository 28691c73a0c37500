"""Mirror half of the pictures left to right."""

from __future__ import annotations

import tensorflow as tf

from trainer.compat.saving import registered
from trainer.config.learning_sections import AugmentConfig
from trainer.models.layers.base import KeyedLayer

ORDER = 30
SETTINGS = {
    "flip": {"default": False, "meaning": "mirror left to right, half of the time"},
}


def build(augment: AugmentConfig) -> tf.keras.layers.Layer | None:
    """The layer, or None if it is off."""
    return RandomFlip(name="random_flip") if augment.flip else None


def flip(images: tf.Tensor, chosen: tf.Tensor) -> tf.Tensor:
    """Mirror the chosen pictures left to right.

    Args:
      images: float32 [N, H, W, C].
      chosen: bool [N].

    Returns:
      float32 [N, H, W, C].
    """
    return tf.where(chosen[:, None, None, None], tf.reverse(images, axis=[2]), images)


@registered
class RandomFlip(KeyedLayer):
    """Mirror half of the pictures left to right."""

    def transform(self, inputs: tf.Tensor) -> tf.Tensor:
        """Returns float32 [N, H, W, C], each picture mirrored with probability 1/2."""
        return flip(inputs, self.draw(inputs) < 0.5)
