"""Scale each picture's distance from its own mean colour."""

from __future__ import annotations

import tensorflow as tf

from trainer.compat.saving import registered
from trainer.config.learning_sections import AugmentConfig
from trainer.models.layers.base import Jitter

ORDER = 50
SETTINGS = {
    "contrast": {
        "default": 0.0,
        "at_least": 0,
        "below": 1,
        "meaning": "0.2 = 0.8 to 1.2 times the distance from the mean colour; 0 = none",
    }
}


def build(augment: AugmentConfig) -> tf.keras.layers.Layer | None:
    """The layer, or None if it is off."""
    return RandomContrast(augment.contrast, name="random_contrast") if augment.contrast else None


@registered
class RandomContrast(Jitter):
    """Scale each picture's distance from its own mean colour."""

    def transform(self, inputs: tf.Tensor) -> tf.Tensor:
        """Returns float32 [N, H, W, C] in [0, 255]."""
        mean = tf.reduce_mean(inputs, axis=[1, 2], keepdims=True)
        return tf.clip_by_value(mean + (inputs - mean) * self.scales(inputs), 0.0, 255.0)
