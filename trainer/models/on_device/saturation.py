"""Make the colours of each picture stronger or paler."""

from __future__ import annotations

import tensorflow as tf

from trainer.compat.saving import registered
from trainer.config.learning_sections import AugmentConfig
from trainer.models.layers.base import Jitter
from trainer.models.layers.colour import grey

ORDER = 46
COLOURS = True
SETTINGS = {
    "saturation": {
        "default": 0.0,
        "at_least": 0,
        "at_most": 1,
        "meaning": "0.2 = 0.8 to 1.2 times the distance of each pixel from its grey; 0 = none",
    }
}


def build(augment: AugmentConfig) -> tf.keras.layers.Layer | None:
    """The layer, or None if it is off."""
    if not augment.saturation:
        return None
    return RandomSaturation(augment.saturation, name="random_saturation")


@registered
class RandomSaturation(Jitter):
    """Scale the distance of each pixel from its grey."""

    def transform(self, inputs: tf.Tensor) -> tf.Tensor:
        """Returns float32 [N, H, W, 3] in [0, 255]."""
        luma = grey(inputs)
        return tf.clip_by_value(luma + (inputs - luma) * self.scales(inputs), 0.0, 255.0)
