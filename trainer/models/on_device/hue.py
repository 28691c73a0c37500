"""Turn the colours of each picture round the colour circle."""

from __future__ import annotations

from typing import Unpack

import tensorflow as tf

from trainer.compat.saving import registered
from trainer.config.learning_sections import AugmentConfig
from trainer.models.layers.base import KeyedLayer, LayerArguments

ORDER = 45
COLOURS = True
SETTINGS = {
    "hue": {
        "default": 0.0,
        "at_least": 0,
        "at_most": 0.5,
        "meaning": "largest turn of the colour circle either way, full turns; 0 = none",
    }
}


def build(augment: AugmentConfig) -> tf.keras.layers.Layer | None:
    """The layer, or None if it is off."""
    return RandomHue(augment.hue, name="random_hue") if augment.hue else None


@registered
class RandomHue(KeyedLayer):
    """Add a number to the hue of each picture, in HSV; saturation and value stay.

    Attributes:
      factor: largest change, as a fraction of a full turn: 1/3 makes red green.
    """

    def __init__(self, factor: float, **kwargs: Unpack[LayerArguments]) -> None:
        super().__init__(**kwargs)
        self.factor = factor

    def transform(self, inputs: tf.Tensor) -> tf.Tensor:
        """Returns float32 [N, H, W, 3] in [0, 255]."""
        hue, saturation, value = tf.split(tf.image.rgb_to_hsv(inputs), 3, axis=-1)
        # Into [0, 1], from [-1/2, 3/2): a modulus can be 1 or more where it is rounded.
        hue += self.draw(inputs, (1, 1, 1), -self.factor, self.factor)
        hue = tf.where(hue < 0, hue + 1, tf.where(hue >= 1, hue - 1, hue))
        turned = tf.image.hsv_to_rgb(tf.concat([hue, saturation, value], axis=-1))
        return tf.clip_by_value(turned, 0.0, 255.0)

    def get_config(self) -> dict[str, object]:
        """Arguments to build this layer again."""
        return {**super().get_config(), "factor": self.factor}
