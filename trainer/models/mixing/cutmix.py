"""CutMix (Yun et al. 2019, arXiv 1905.04899): a rectangle of another picture."""

from __future__ import annotations

import tensorflow as tf

from trainer.config.learning_sections import AugmentConfig
from trainer.models.layers.beta import Beta
from trainer.models.randomness import uniform

SETTINGS = {
    "cutmix": {
        "default": 0.0,
        "at_least": 0,
        "at_most": 10,
        "meaning": "a rectangle of each picture, whose share of the area is drawn from Beta(this, "
        "this), such as 1, is another's, and so are the labels to that share; 0 = none; with mixup "
        "too, each picture has one of the two",
    }
}


def build(augment: AugmentConfig) -> Cutmix | None:
    """The function, or None if it is off."""
    return Cutmix(augment.cutmix) if augment.cutmix else None


class Cutmix:
    """A rectangle about a random centre; what leaves the picture is cut off and not counted."""

    def __init__(self, alpha: float) -> None:
        self._beta = Beta(alpha)

    def __call__(self, images: tf.Tensor, others: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns float32 [b, H, W, C] and the share [b] of the first."""
        drawn = uniform("cutmix", (3,))
        length = tf.sqrt(1 - self._beta(drawn[:, 0]))
        sides = [tf.cast(side, tf.float32) for side in tf.unstack(tf.shape(images)[1:3])]
        inside, count = [], []
        for side, place in zip(sides, (drawn[:, 1], drawn[:, 2]), strict=True):
            size = tf.floor(side * length)
            first = tf.floor(side * place) - tf.floor(size / 2)
            offsets = tf.range(side)[None] - first[:, None]
            within = (offsets >= 0) & (offsets < size[:, None])
            inside.append(within)
            count.append(tf.reduce_sum(tf.cast(within, tf.float32), axis=1))
        hole = inside[0][:, :, None, None] & inside[1][:, None, :, None]
        shares = 1 - count[0] * count[1] / (sides[0] * sides[1])
        return tf.where(hole, others, images), shares
