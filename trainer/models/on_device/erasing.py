"""Random erasing (Zhong et al. 2017, arXiv 1708.04896): a rectangle of some pictures.

Unlike cutout's square, it has a random size and shape, lies inside the picture and is filled with
a random colour.
"""

from __future__ import annotations

import math
from typing import Unpack

import tensorflow as tf

from trainer.compat.saving import registered
from trainer.config.learning_sections import AugmentConfig
from trainer.models.layers.base import KeyedLayer, LayerArguments

ORDER = 62
SETTINGS = {
    "erasing": {
        "default": 0.0,
        "at_least": 0,
        "at_most": 1,
        "meaning": "share of pictures that lose a rectangle; 0 = none",
    },
    "erasing_smallest": {
        "default": 0.02,
        "above": 0,
        "at_most": 1,
        "meaning": "its smallest share of the picture",
    },
    "erasing_largest": {
        "default": 0.33,
        "above": 0,
        "at_most": 1,
        "meaning": "its largest",
    },
    "erasing_aspect": {
        "default": 0.3,
        "above": 0,
        "at_most": 1,
        "meaning": "its smallest ratio of the shorter to the longer side",
    },
}


def build(augment: AugmentConfig) -> tf.keras.layers.Layer | None:
    """The layer, or None if it is off."""
    if not augment.erasing:
        return None
    sizes = (augment.erasing_smallest, augment.erasing_largest)
    return RandomErasing(augment.erasing, sizes, augment.erasing_aspect, name="random_erasing")


@registered
class RandomErasing(KeyedLayer):
    """Fill a rectangle of some pictures with a random colour.

    A rectangle that would be longer than the picture is cut off at its length.

    Attributes:
      share: of the pictures.
      sizes: smallest and largest share of the picture's area.
      aspect: smallest ratio of its sides; upright and lying ones are equally likely.
    """

    def __init__(
        self,
        share: float,
        sizes: tuple[float, float],
        aspect: float,
        **kwargs: Unpack[LayerArguments],
    ) -> None:
        super().__init__(**kwargs)
        self.share, self.sizes, self.aspect = share, (sizes[0], sizes[1]), aspect

    def transform(self, inputs: tf.Tensor) -> tf.Tensor:
        """Returns float32 [N, H, W, C]."""
        channels = inputs.shape[-1]
        drawn = self.draw(inputs, (5 + channels,))
        chosen, area, shape, top, left = tf.unstack(drawn[:, :5], axis=1)
        sides = tf.shape(inputs)[1:3]
        height, width = (tf.cast(sides[at], tf.float32) for at in (0, 1))
        area = (self.sizes[0] + (self.sizes[1] - self.sizes[0]) * area) * height * width
        ratio = tf.exp((2 * shape - 1) * -math.log(self.aspect))
        rows = tf.clip_by_value(tf.round(tf.sqrt(area * ratio)), 1, height)
        columns = tf.clip_by_value(tf.round(tf.sqrt(area / ratio)), 1, width)
        first_row, first_column = (
            tf.minimum(tf.floor(place * (room + 1)), room)
            for place, room in ((top, height - rows), (left, width - columns))
        )
        down = tf.range(height)[None] - first_row[:, None]
        right = tf.range(width)[None] - first_column[:, None]
        in_rows = (down >= 0) & (down < rows[:, None])
        in_columns = (right >= 0) & (right < columns[:, None])
        hole = in_rows[:, :, None, None] & in_columns[:, None, :, None]
        hole &= (chosen < self.share)[:, None, None, None]
        return tf.where(hole, 255 * drawn[:, None, None, 5:], inputs)

    def get_config(self) -> dict[str, object]:
        """Arguments to build this layer again."""
        settings = {"share": self.share, "sizes": self.sizes, "aspect": self.aspect}
        return {**super().get_config(), **settings}
