"""Enlarge or shrink each picture about its centre."""

from __future__ import annotations

from typing import Unpack

import tensorflow as tf

from trainer.compat.saving import registered
from trainer.config.learning_sections import AugmentConfig
from trainer.models.layers.base import LayerArguments
from trainer.models.layers.warp import Affine, Sides, Warp, centre

ORDER = 66
SETTINGS = {
    "zoom": {
        "default": 0.0,
        "at_least": 0,
        "below": 1,
        "meaning": "0.2 = 0.8 to 1.2 times as large; 0 = none",
    }
}


def build(augment: AugmentConfig) -> tf.keras.layers.Layer | None:
    """The layer, or None if it is off."""
    return RandomZoom(augment.zoom, name="random_zoom") if augment.zoom else None


@registered
class RandomZoom(Warp):
    """Enlarge or shrink each picture about its centre, both sides alike.

    Attributes:
      factor: largest relative change of its size.
    """

    def __init__(self, factor: float, **kwargs: Unpack[LayerArguments]) -> None:
        super().__init__(**kwargs)
        self.factor = factor

    def affine(self, images: tf.Tensor, sides: Sides) -> Affine:
        """Draws where the pixels of each picture come from."""
        inverse = 1 / self.draw(images, (), 1 - self.factor, 1 + self.factor)
        x, y = centre(sides)
        nothing = tf.zeros_like(inverse)
        return inverse, nothing, x - inverse * x, nothing, inverse, y - inverse * y

    def get_config(self) -> dict[str, object]:
        """Arguments to build this layer again."""
        return {**super().get_config(), "factor": self.factor}
