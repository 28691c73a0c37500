"""Move each picture sideways and up or down."""

from __future__ import annotations

from typing import Unpack

import tensorflow as tf

from trainer.compat.saving import registered
from trainer.config.learning_sections import AugmentConfig
from trainer.models.layers.base import LayerArguments
from trainer.models.layers.warp import Affine, Sides, Warp

ORDER = 64  # after the cutout, as rotation, with which it shares an interpolation
SETTINGS = {
    "shift": {
        "default": 0.0,
        "at_least": 0,
        "at_most": 1,
        "meaning": "0.1 = by up to a tenth of the width and of the height, either way; 0 = none",
    }
}


def build(augment: AugmentConfig) -> tf.keras.layers.Layer | None:
    """The layer, or None if it is off."""
    return RandomShift(augment.shift, name="random_shift") if augment.shift else None


@registered
class RandomShift(Warp):
    """Move each picture; what comes in at a border is its reflection.

    Attributes:
      share: largest move, of the width and of the height.
    """

    def __init__(self, share: float, **kwargs: Unpack[LayerArguments]) -> None:
        super().__init__(**kwargs)
        self.share = share

    def affine(self, images: tf.Tensor, sides: Sides) -> Affine:
        """Draws where the pixels of each picture come from."""
        moves = self.draw(images, (2,), -self.share, self.share)
        height, width = (tf.cast(side, tf.float32) for side in sides)
        one, nothing = tf.ones_like(moves[:, 0]), tf.zeros_like(moves[:, 0])
        return one, nothing, -moves[:, 0] * width, nothing, one, -moves[:, 1] * height

    def get_config(self) -> dict[str, object]:
        """Arguments to build this layer again."""
        return {**super().get_config(), "share": self.share}
