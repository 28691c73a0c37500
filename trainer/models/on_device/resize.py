"""Stretch pictures to a square before the crop."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from trainer.compat.saving import registered
from trainer.config.learning_sections import AugmentConfig

ORDER = 10
SETTINGS = {
    "resize_to": {
        "default": 0,
        "at_least": 0,
        "at_most": 8192,
        "meaning": "side before the crop, pixels; 0=none",
    }
}


def build(augment: AugmentConfig) -> tf.keras.layers.Layer | None:
    """The layer, or None if it is off."""
    return Resize(augment.resize_to, name="resize") if augment.resize_to else None


@registered
class Resize(tf.keras.layers.Layer):
    """Stretch pictures to a square, bilinear, in training and inference alike.

    Without antialiasing, whose op exists for the CPU only: shrink by more than two ahead of time.

    Attributes:
      size: side in pixels.
    """

    def __init__(self, size: int, **kwargs: Any) -> None:
        super().__init__(**{"dtype": "float32", **kwargs})
        self.size = size

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Returns float32 [N, size, size, C] of pictures [N, H, W, C]."""
        images = tf.cast(inputs, tf.float32)
        if tuple(images.shape[1:3]) == (self.size, self.size):
            return images
        return tf.image.resize(images, (self.size, self.size))

    def get_config(self) -> dict[str, object]:
        """Arguments to build this layer again."""
        return {**super().get_config(), "size": self.size}
