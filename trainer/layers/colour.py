"""Layers that change colours, on pixels 0 to 255, and keep them there."""

from typing import Any

import tensorflow as tf

from trainer.layers.base import PACKAGE, KeyedLayer


class _Jitter(KeyedLayer):
    """Scales something by a number in [1 - factor, 1 + factor), one a picture.

    Attributes:
      factor: largest relative change, in [0, 1].
    """

    def __init__(self, factor: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.factor = factor

    def scales(self, images: Any) -> Any:
        """Returns float32 [N, 1, 1, 1]."""
        return self.draw(images, (1, 1, 1), 1 - self.factor, 1 + self.factor)

    def get_config(self) -> dict[str, Any]:
        """Arguments to build this layer again."""
        return {**super().get_config(), "factor": self.factor}


@tf.keras.saving.register_keras_serializable(package=PACKAGE)
class RandomBrightness(_Jitter):
    """Multiply each picture by a number: factor 0.2 is brightness 0.8 to 1.2."""

    def transform(self, inputs: Any) -> Any:
        """Returns float32 [N, H, W, C] in [0, 255]."""
        return tf.clip_by_value(inputs * self.scales(inputs), 0.0, 255.0)


@tf.keras.saving.register_keras_serializable(package=PACKAGE)
class RandomContrast(_Jitter):
    """Scale each picture's distance from its own mean colour."""

    def transform(self, inputs: Any) -> Any:
        """Returns float32 [N, H, W, C] in [0, 255]."""
        mean = tf.reduce_mean(inputs, axis=[1, 2], keepdims=True)
        return tf.clip_by_value(mean + (inputs - mean) * self.scales(inputs), 0.0, 255.0)
