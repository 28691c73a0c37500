"""Shear each picture sideways."""

from __future__ import annotations

import math
from typing import Unpack

import tensorflow as tf

from trainer.compat.saving import registered
from trainer.config.learning_sections import AugmentConfig
from trainer.models.layers.base import LayerArguments
from trainer.models.layers.warp import Affine, Sides, Warp, centre

ORDER = 68
SETTINGS = {
    "shear": {
        "default": 0.0,
        "at_least": 0,
        "at_most": 60,
        "meaning": "largest slant of upright lines either way, degrees; 0 = none",
    }
}


def build(augment: AugmentConfig) -> tf.keras.layers.Layer | None:
    """The layer, or None if it is off."""
    return RandomShear(augment.shear, name="random_shear") if augment.shear else None


@registered
class RandomShear(Warp):
    """Slant upright lines, about the middle of the picture.

    Attributes:
      degrees: largest angle either way.
    """

    def __init__(self, degrees: float, **kwargs: Unpack[LayerArguments]) -> None:
        super().__init__(**kwargs)
        self.degrees = degrees

    def affine(self, images: tf.Tensor, sides: Sides) -> Affine:
        """Draws where the pixels of each picture come from."""
        most = math.radians(self.degrees)
        slope = tf.tan(self.draw(images, (), -most, most))
        _, y = centre(sides)
        one, nothing = tf.ones_like(slope), tf.zeros_like(slope)
        return one, slope, -slope * y, nothing, one, nothing

    def get_config(self) -> dict[str, object]:
        """Arguments to build this layer again."""
        return {**super().get_config(), "degrees": self.degrees}
