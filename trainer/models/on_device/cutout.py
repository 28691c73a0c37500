"""Cutout (DeVries and Taylor 2017, arXiv 1708.04552): a hole in each picture, of known size."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from preprocess.shell.errors import ConfigError
from trainer.compat import addons
from trainer.compat.saving import registered
from trainer.config.learning_sections import AugmentConfig
from trainer.models.layers.base import KeyedLayer

ORDER = 60
SETTINGS = {
    "cutout": {
        "default": 0,
        "at_least": 0,
        "at_most": 8192,
        "meaning": "side of the square cut out, pixels; 0 = none",
    },
    "cutout_implementation": {
        "default": "vectorised",
        "choices": ("vectorised", "addons"),
        "meaning": "our own, or tensorflow-addons' random_cutout",
    },
}


def build(augment: AugmentConfig) -> tf.keras.layers.Layer | None:
    """The layer, or None if it is off."""
    if not augment.cutout:
        return None
    kind = {"vectorised": Cutout, "addons": TfaCutout}[augment.cutout_implementation]
    return kind((augment.cutout, augment.cutout), name="cutout")


def cutout(
    images: tf.Tensor, centres: tf.Tensor, size: tuple[int, int], fill: float = 0.0
) -> tf.Tensor:
    """Fill a rectangle of each picture; what leaves the picture is cut off.

    One comparison of rows, one of columns: no loop over the pictures, unlike tensorflow-addons,
    whose result this equals.

    Args:
      images: float32 [N, H, W, C].
      centres: int32 [N, 2], row and column; the rectangle begins half its size before.
      size: (height, width) of the rectangle, pixels.
      fill: pixel value put there.

    Returns:
      float32 [N, H, W, C].
    """
    first = centres - tf.constant([size[0] // 2, size[1] // 2])
    rows = tf.range(tf.shape(images)[1]) - first[:, :1]
    columns = tf.range(tf.shape(images)[2]) - first[:, 1:]
    in_rows = (rows >= 0) & (rows < size[0])
    in_columns = (columns >= 0) & (columns < size[1])
    hole = in_rows[:, :, None, None] & in_columns[:, None, :, None]
    return tf.where(hole, tf.constant(fill, images.dtype), images)


@registered
class Cutout(KeyedLayer):
    """A hole at a random place in each picture, its centre anywhere in the picture.

    Attributes:
      size: (height, width) of the hole, pixels.
      fill: pixel value in it.
    """

    def __init__(self, size: tuple[int, int], fill: float = 0.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.size = (int(size[0]), int(size[1]))
        self.fill = fill

    def centres(self, images: tf.Tensor) -> tf.Tensor:
        """Returns int32 [N, 2]: a row and a column in each picture."""
        sides = tf.shape(images)[1:3]
        places = self.draw(images, (2,)) * tf.cast(sides, tf.float32)
        return tf.minimum(tf.cast(places, tf.int32), sides - 1)

    def transform(self, inputs: tf.Tensor) -> tf.Tensor:
        """Returns float32 [N, H, W, C]."""
        return cutout(inputs, self.centres(inputs), self.size, self.fill)

    def get_config(self) -> dict[str, object]:
        """Arguments to build this layer again."""
        return {**super().get_config(), "size": self.size, "fill": self.fill}


@registered
class TfaCutout(Cutout):
    """`Cutout` by tensorflow-addons: the same holes, a loop over the pictures inside."""

    def __init__(self, size: tuple[int, int], fill: float = 0.0, **kwargs: Any) -> None:
        addons.require("augment.cutout_implementation=addons", "vectorised cuts the same holes")
        super().__init__(size, fill, **kwargs)
        if self.size[0] % 2 or self.size[1] % 2:
            raise ConfigError(
                f"augment.cutout={self.size[0]}: tensorflow-addons takes even sides only; change "
                "it by one, or set augment.cutout_implementation=vectorised"
            )

    def transform(self, inputs: tf.Tensor) -> tf.Tensor:
        """Returns float32 [N, H, W, C]."""
        return addons.random_cutout(inputs, self.size, self.centres(inputs), self.fill)
