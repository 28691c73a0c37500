"""Multiply each picture by a number of its own."""

from __future__ import annotations

import tensorflow as tf

from trainer.compat.saving import registered
from trainer.config.learning_sections import AugmentConfig
from trainer.models.layers.base import Jitter

# Before the cutout, as contrast is: the hole keeps its colour and does not count in the mean.
ORDER = 40
SETTINGS = {
    "brightness": {
        "default": 0.0,
        "at_least": 0,
        "at_most": 1,
        "meaning": "0.2 = 0.8 to 1.2 times; 0 = none",
    }
}


def build(augment: AugmentConfig) -> tf.keras.layers.Layer | None:
    """The layer, or None if it is off."""
    if not augment.brightness:
        return None
    return RandomBrightness(augment.brightness, name="random_brightness")


@registered
class RandomBrightness(Jitter):
    """Multiply each picture by a number: factor 0.2 is brightness 0.8 to 1.2."""

    def transform(self, inputs: tf.Tensor) -> tf.Tensor:
        """Returns float32 [N, H, W, C] in [0, 255]."""
        return tf.clip_by_value(inputs * self.scales(inputs), 0.0, 255.0)
