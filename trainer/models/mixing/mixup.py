"""Mixup (Zhang et al. 2017, arXiv 1710.09412): a weighted mean of two pictures."""

from __future__ import annotations

import tensorflow as tf

from trainer.config.learning_sections import AugmentConfig
from trainer.models.layers.beta import Beta
from trainer.models.randomness import uniform

SETTINGS = {
    "mixup": {
        "default": 0.0,
        "at_least": 0,
        "at_most": 10,
        "meaning": "each picture and its labels are mixed with another's, with a share drawn from "
        "Beta(this, this), such as 0.2; 0 = none; for classes and labels",
    }
}


def build(augment: AugmentConfig) -> Mixup | None:
    """The function, or None if it is off."""
    return Mixup(augment.mixup) if augment.mixup else None


class Mixup:
    """The mean of two pictures, weighted by a number from Beta(alpha, alpha)."""

    def __init__(self, alpha: float) -> None:
        self._beta = Beta(alpha)

    def __call__(self, images: tf.Tensor, others: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns float32 [b, H, W, C] and the share [b] of the first."""
        shares = self._beta(uniform("mixup", ()))
        weights = shares[:, None, None, None]
        return weights * images + (1 - weights) * others, shares
