"""Take the colour out of some pictures."""

from __future__ import annotations

from typing import Unpack

import tensorflow as tf

from trainer.compat.saving import registered
from trainer.config.learning_sections import AugmentConfig
from trainer.models.layers.base import KeyedLayer, LayerArguments
from trainer.models.layers.colour import grey

ORDER = 47
COLOURS = True
SETTINGS = {
    "grey": {
        "default": 0.0,
        "at_least": 0,
        "at_most": 1,
        "meaning": "share of pictures that lose their colour; 0 = none",
    }
}


def build(augment: AugmentConfig) -> tf.keras.layers.Layer | None:
    """The layer, or None if it is off."""
    return RandomGrey(augment.grey, name="random_grey") if augment.grey else None


@registered
class RandomGrey(KeyedLayer):
    """Give all three channels of some pictures their luma.

    Attributes:
      share: of the pictures.
    """

    def __init__(self, share: float, **kwargs: Unpack[LayerArguments]) -> None:
        super().__init__(**kwargs)
        self.share = share

    def transform(self, inputs: tf.Tensor) -> tf.Tensor:
        """Returns float32 [N, H, W, 3]."""
        return tf.where(self.draw(inputs, (1, 1, 1)) < self.share, grey(inputs), inputs)

    def get_config(self) -> dict[str, object]:
        """Arguments to build this layer again."""
        return {**super().get_config(), "share": self.share}
