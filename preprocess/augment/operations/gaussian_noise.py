"""Adds independent Gaussian noise to every channel of every pixel."""

from __future__ import annotations

import dataclasses
import functools
import statistics
from typing import Annotated

import cv2
import numpy as np
from numpy.typing import NDArray

from preprocess.augment.canvas import Canvas
from preprocess.augment.generator import seeded_generator
from preprocess.augment.operation import Numbers, Operation
from preprocess.augment.settings import Range, RangeKind

_NO_NOISE = 128  # how noise of either sign is held in 8 bits; 2.9 sigma of 40 levels fit


@dataclasses.dataclass(frozen=True, kw_only=True)
class GaussianNoise(Operation):
    """Adds independent Gaussian noise to every channel of every pixel."""

    sigma_levels: Annotated[Range, RangeKind(0, 40)]

    def draw(self, rng: np.random.Generator, height: int, width: int) -> Numbers:
        """The standard deviation in levels of 255, and the seed of the noise."""
        return {
            "sigma_levels": self.sigma_levels.draw(rng),
            "seed": int(rng.integers(2**32)),
        }

    @staticmethod
    def apply(canvas: Canvas, numbers: Numbers) -> None:
        """A random byte selects one of 256 equally likely quantiles of the Gaussian.

        Whole levels are added to whole levels, so nothing is lost against real-valued noise but
        its far tail (beyond 2.9 sigma), and random bytes cost a tenth of random normals.
        """
        image = canvas.read()
        noise = np.rint(_normal_quantiles() * numbers["sigma_levels"]) + _NO_NOISE
        words = seeded_generator(numbers["seed"]).bit_generator.random_raw(-(-image.size // 8))
        chance = words.astype("<u8", copy=False).view(np.uint8)[: image.size].reshape(image.shape)
        added = cv2.LUT(chance, noise.astype(np.uint8))
        canvas.replace(cv2.addWeighted(image, 1, added, 1, -_NO_NOISE, dst=added))


@functools.cache
def _normal_quantiles() -> NDArray[np.float64]:
    """256 equally likely values with mean 0 and variance 1, Gaussian but for the far tails."""
    normal = statistics.NormalDist()
    values = np.array([normal.inv_cdf((level + 0.5) / 256) for level in range(256)])
    return values / values.std()
