"""Turn pictures about their centre."""

from __future__ import annotations

import math
from typing import Any

import tensorflow as tf

from preprocess.shell.errors import ConfigError
from trainer.compat.saving import registered
from trainer.config.learning_sections import AugmentConfig
from trainer.models.layers.warp import Affine, Sides, Warp, sides_of, warp

ORDER = 70  # after the cutout, whose hole it turns too
SETTINGS = {
    "rotation": {
        "default": 0.0,
        "at_least": 0,
        "at_most": 0.5,
        "meaning": "largest turn either way, full turns; 0=none",
    }
}
FILL_MODES = ("reflect", "wrap", "constant", "nearest")


def build(augment: AugmentConfig) -> tf.keras.layers.Layer | None:
    """The layer, or None if it is off."""
    return RandomRotation(augment.rotation, name="random_rotation") if augment.rotation else None


def rotate(images: tf.Tensor, angles: tf.Tensor, fill_mode: str = "reflect") -> tf.Tensor:
    """Turn each picture about its centre, bilinear.

    Args:
      images: float32 [N, H, W, C].
      angles: float32 [N], radians, counter-clockwise as one looks at the picture.
      fill_mode: what lies outside: one of FILL_MODES ("constant" is 0).

    Returns:
      float32 [N, H, W, C].
    """
    sides = sides_of(images)
    return warp(images, turn(angles, sides), sides, fill_mode)


def turn(angles: tf.Tensor, sides: Sides) -> Affine:
    """Where the pixels of pictures come from that are turned as rotate() does it."""
    height, width = sides
    bottom, right = tf.cast(height - 1, tf.float32), tf.cast(width - 1, tf.float32)
    cos, sin = tf.cos(angles), tf.sin(angles)
    # The op asks, for each output pixel (x, y), where it comes from:
    # (a0 x + a1 y + a2, b0 x + b1 y + b2). a2 and b2 keep the centre where it is; rows run
    # downwards, so this is the turn by -angle in (x, y), which is the inverse of +angle seen.
    shift_x = (right - (cos * right - sin * bottom)) / 2
    shift_y = (bottom - (sin * right + cos * bottom)) / 2
    return cos, -sin, shift_x, sin, cos, shift_y


@registered
class RandomRotation(Warp):
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

    def affine(self, images: tf.Tensor, sides: Sides) -> Affine:
        """Each picture by its own angle."""
        most = self.factor * 2 * math.pi
        return turn(self.draw(images, (), -most, most), sides)

    def get_config(self) -> dict[str, object]:
        """Arguments to build this layer again."""
        return {**super().get_config(), "factor": self.factor, "fill_mode": self.fill_mode}
