"""The on-device layers as one callable, from the keys of `augment`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from trainer.compat.saving import registered
from trainer.config.entries import DEVICE_LAYERS
from trainer.config.layer_order import layers_in_order
from trainer.config.learning_sections import AugmentConfig
from trainer.models.layers.warp import merged
from trainer.models.on_device.resize import Resize
from trainer.models.own_parts import OwnLayer


@registered
class Augmentation(tf.keras.layers.Layer):
    """Layers one after another on pixels 0 to 255, float32 throughout.

    Not a `Sequential`, which cannot be empty and would be built for one picture size.

    Attributes:
      layers: the layers in order; none is the identity.
      own: those of the user's, after them.
    """

    def __init__(
        self, layers: list[tf.keras.layers.Layer], own: Sequence[OwnLayer] = (), **kwargs: Any
    ) -> None:
        super().__init__(**{"dtype": "float32", **kwargs})
        self.layers = layers
        self.own = tuple(own)

    def call(self, inputs: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        """Returns float32 [N, H', W', C] of pictures [N, H, W, C], uint8 or float32, 0 to 255."""
        images = tf.cast(inputs, tf.float32)
        for layer in self.layers:
            images = layer(images) if isinstance(layer, Resize) else layer(images, training)
        for layer in self.own:
            images = layer(images, training)
        return images

    def get_config(self) -> dict[str, object]:
        """Arguments to build this layer again."""
        layers = [tf.keras.saving.serialize_keras_object(layer) for layer in self.layers]
        return {**super().get_config(), "layers": layers}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Augmentation:
        """Build from what `get_config` gave."""
        layers = [tf.keras.saving.deserialize_keras_object(layer) for layer in config["layers"]]
        return cls(**{**config, "layers": layers})


def build_augmentation(augment: AugmentConfig) -> Augmentation:
    """The layers that `augment` asks for, each with its own name, in `augment.order` or else in the
    order they state. Neighbours that warp are one layer.

    Only resize and the crop (its centre) act at inference.

    Args:
      augment: the section of the configuration.

    Returns:
      A layer called with (pictures, training); the identity when not enabled.

    Raises:
      ConfigError: a layer that does not take its settings.
    """
    built = [DEVICE_LAYERS.module(name).build(augment) for name in layers_in_order(augment)]
    layers = merged([layer for layer in built if layer is not None])
    own = [OwnLayer(reference) for reference in augment.layers]
    if not augment.enabled:
        layers, own = [], []
    return Augmentation(layers, own, name="augmentation")
