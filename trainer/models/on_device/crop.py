"""Cut a square out of each picture, at random."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from preprocess.shell.errors import ConfigError
from trainer.compat.saving import registered
from trainer.config.learning_sections import AugmentConfig
from trainer.models.layers.base import KeyedLayer

ORDER = 20
SETTINGS = {
    "crop": {
        "default": 0,
        "at_least": 0,
        "at_most": 8192,
        "meaning": "side of the random crop, pixels; 0 = none; image_size follows after it",
    }
}


def build(augment: AugmentConfig) -> tf.keras.layers.Layer | None:
    """The layer, or None if it is off."""
    return RandomCrop(augment.crop, name="random_crop") if augment.crop else None


def crop(images: tf.Tensor, tops: tf.Tensor, lefts: tf.Tensor, size: int) -> tf.Tensor:
    """Cut a square out of each picture, at its own place.

    Args:
      images: float32 [N, H, W, C].
      tops: int32 [N], first row of each square.
      lefts: int32 [N], first column.
      size: side of the square, pixels.

    Returns:
      float32 [N, size, size, C].
    """
    rows = tops[:, None] + tf.range(size)
    columns = lefts[:, None] + tf.range(size)
    strips = tf.gather(images, rows, axis=1, batch_dims=1)
    return tf.gather(strips, columns, axis=2, batch_dims=1)


@registered
class RandomCrop(KeyedLayer):
    """Cut a square out at random; out of the centre at inference.

    Attributes:
      size: side in pixels.
    """

    def __init__(self, size: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.size = size

    def _room(self, images: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """How far the square can move down and right, int32 scalars."""
        height, width = images.shape[1:3]
        if min(height or self.size, width or self.size) < self.size:
            raise ConfigError(
                f"augment.crop={self.size} does not fit into pictures of {height}x{width}: "
                "lower it, or set augment.resize_to to at least as much"
            )
        shape = tf.shape(images)
        return shape[1] - self.size, shape[2] - self.size

    def transform(self, inputs: tf.Tensor) -> tf.Tensor:
        """Returns float32 [N, size, size, C], every place equally likely."""
        down, right = self._room(inputs)
        places = self.draw(inputs, (2,))
        tops = tf.cast(places[:, 0] * tf.cast(down + 1, tf.float32), tf.int32)
        lefts = tf.cast(places[:, 1] * tf.cast(right + 1, tf.float32), tf.int32)
        return crop(inputs, tf.minimum(tops, down), tf.minimum(lefts, right), self.size)

    def at_inference(self, inputs: tf.Tensor) -> tf.Tensor:
        """Returns float32 [N, size, size, C], the centre."""
        down, right = (room // 2 for room in self._room(inputs))
        centre = inputs[:, down : down + self.size, right : right + self.size]
        centre.set_shape([inputs.shape[0], self.size, self.size, inputs.shape[3]])
        return centre

    def get_config(self) -> dict[str, object]:
        """Arguments to build this layer again."""
        return {**super().get_config(), "size": self.size}
