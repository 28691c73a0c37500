"""Layers that move pixels: resize, flip, crop, rotation."""

import math
from typing import Any

import tensorflow as tf

from trainer.errors import ConfigError
from trainer.layers.base import PACKAGE, KeyedLayer

FILL_MODES = ("reflect", "wrap", "constant", "nearest")


def flip(images: Any, chosen: Any) -> Any:
    """Mirror the chosen pictures left to right.

    Args:
      images: float32 [N, H, W, C].
      chosen: bool [N].

    Returns:
      float32 [N, H, W, C].
    """
    return tf.where(chosen[:, None, None, None], tf.reverse(images, axis=[2]), images)


def crop(images: Any, tops: Any, lefts: Any, size: int) -> Any:
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


def rotate(images: Any, angles: Any, fill_mode: str = "reflect") -> Any:
    """Turn each picture about its centre, bilinear.

    Args:
      images: float32 [N, H, W, C].
      angles: float32 [N], radians, counter-clockwise as one looks at the picture.
      fill_mode: what lies outside: one of FILL_MODES ("constant" is 0).

    Returns:
      float32 [N, H, W, C].
    """
    height, width = tf.shape(images)[1], tf.shape(images)[2]
    bottom, right = tf.cast(height - 1, tf.float32), tf.cast(width - 1, tf.float32)
    cos, sin = tf.cos(angles), tf.sin(angles)
    # The op asks, for each output pixel (x, y), where it comes from:
    # (a0 x + a1 y + a2, b0 x + b1 y + b2). a2 and b2 keep the centre where it is; rows run
    # downwards, so this is the turn by -angle in (x, y), which is the inverse of +angle seen.
    shift_x = (right - (cos * right - sin * bottom)) / 2
    shift_y = (bottom - (sin * right + cos * bottom)) / 2
    nothing = tf.zeros_like(angles)
    transforms = [cos, -sin, shift_x, sin, cos, shift_y, nothing, nothing]
    turned = tf.raw_ops.ImageProjectiveTransformV3(
        images=images,
        transforms=tf.stack(transforms, axis=1),
        output_shape=tf.stack([height, width]),
        interpolation="BILINEAR",
        fill_mode=fill_mode.upper(),
        fill_value=0.0,
    )
    turned.set_shape(images.shape)
    return turned


@tf.keras.saving.register_keras_serializable(package=PACKAGE)
class Resize(tf.keras.layers.Layer):
    """Stretch pictures to a square, bilinear, in training and inference alike.

    Without antialiasing, whose op exists for the CPU only: shrink by more than two ahead of time.

    Attributes:
      size: side in pixels.
    """

    def __init__(self, size: int, **kwargs: Any) -> None:
        super().__init__(**{"dtype": "float32", **kwargs})
        self.size = size

    def call(self, inputs: Any) -> Any:
        """Returns float32 [N, size, size, C] of pictures [N, H, W, C]."""
        images = tf.cast(inputs, tf.float32)
        if tuple(images.shape[1:3]) == (self.size, self.size):
            return images
        return tf.image.resize(images, (self.size, self.size))

    def get_config(self) -> dict[str, Any]:
        """Arguments to build this layer again."""
        return {**super().get_config(), "size": self.size}


@tf.keras.saving.register_keras_serializable(package=PACKAGE)
class RandomFlip(KeyedLayer):
    """Mirror half of the pictures left to right."""

    def transform(self, inputs: Any) -> Any:
        """Returns float32 [N, H, W, C], each picture mirrored with probability 1/2."""
        return flip(inputs, self.draw(inputs) < 0.5)


@tf.keras.saving.register_keras_serializable(package=PACKAGE)
class RandomCrop(KeyedLayer):
    """Cut a square out at random; out of the centre at inference.

    Attributes:
      size: side in pixels.
    """

    def __init__(self, size: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.size = size

    def _room(self, images: Any) -> tuple[Any, Any]:
        """How far the square can move down and right, int32 scalars."""
        height, width = images.shape[1:3]
        if min(height or self.size, width or self.size) < self.size:
            raise ConfigError(
                f"augment.crop={self.size} does not fit into pictures of {height}x{width}: "
                "lower it, or set augment.resize_to to at least as much"
            )
        shape = tf.shape(images)
        return shape[1] - self.size, shape[2] - self.size

    def transform(self, inputs: Any) -> Any:
        """Returns float32 [N, size, size, C], every place equally likely."""
        down, right = self._room(inputs)
        places = self.draw(inputs, (2,))
        tops = tf.cast(places[:, 0] * tf.cast(down + 1, tf.float32), tf.int32)
        lefts = tf.cast(places[:, 1] * tf.cast(right + 1, tf.float32), tf.int32)
        return crop(inputs, tf.minimum(tops, down), tf.minimum(lefts, right), self.size)

    def at_inference(self, inputs: Any) -> Any:
        """Returns float32 [N, size, size, C], the centre."""
        down, right = (room // 2 for room in self._room(inputs))
        centre = inputs[:, down : down + self.size, right : right + self.size]
        centre.set_shape([inputs.shape[0], self.size, self.size, inputs.shape[3]])
        return centre

    def get_config(self) -> dict[str, Any]:
        """Arguments to build this layer again."""
        return {**super().get_config(), "size": self.size}


@tf.keras.saving.register_keras_serializable(package=PACKAGE)
class RandomRotation(KeyedLayer):
    """Turn pictures about their centre.

    Attributes:
      factor: largest turn either way, as a fraction of a full turn: 0.1 is 36 degrees.
      fill_mode: what lies outside the picture, one of FILL_MODES.
    """

    def __init__(self, factor: float, fill_mode: str = "reflect", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if fill_mode not in FILL_MODES:
            raise ConfigError(f"fill mode {fill_mode!r} is none of {', '.join(FILL_MODES)}")
        self.factor = factor
        self.fill_mode = fill_mode

    def transform(self, inputs: Any) -> Any:
        """Returns float32 [N, H, W, C], each picture by its own angle."""
        most = self.factor * 2 * math.pi
        return rotate(inputs, self.draw(inputs, (), -most, most), self.fill_mode)

    def get_config(self) -> dict[str, Any]:
        """Arguments to build this layer again."""
        return {**super().get_config(), "factor": self.factor, "fill_mode": self.fill_mode}
