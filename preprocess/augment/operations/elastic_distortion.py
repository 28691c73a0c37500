"""Moves every pixel by a smooth random field (Simard et al., 2003).

Both settings are fractions of the shorter side: `amplitude` is the root mean square of the
movement along an axis, `sigma` the Gaussian's that smooths the field. An amplitude below a
third of sigma bends without folding.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Annotated

import cv2
import numpy as np
from numpy.typing import NDArray

from preprocess.augment.canvas import Canvas
from preprocess.augment.generator import seeded_generator
from preprocess.augment.operation import BorderedOperation, Numbers, border
from preprocess.augment.settings import Range, RangeKind


@dataclasses.dataclass(frozen=True, kw_only=True)
class ElasticDistortion(BorderedOperation):
    """Moves every pixel by a smooth random field (Simard et al., 2003)."""

    amplitude: Annotated[Range, RangeKind(0, 0.2)]
    sigma: Annotated[Range, RangeKind(0.01, 0.5)]

    def draw(self, rng: np.random.Generator, height: int, width: int) -> Numbers:
        """Lengths in pixels, and the seed of the field."""
        shorter = min(height, width)
        return {
            "amplitude_pixels": self.amplitude.draw(rng) * shorter,
            "sigma_pixels": self.sigma.draw(rng) * shorter,
            "seed": int(rng.integers(2**32)),
            **self.draw_border(),
        }

    @staticmethod
    def apply(canvas: Canvas, numbers: Numbers) -> None:
        """The field is drawn coarse and enlarged: far cheaper than smoothing at full size."""
        sigma = max(1.0, numbers["sigma_pixels"])
        x, y = smooth_fields(numbers["seed"], canvas.height, canvas.width, sigma)
        x *= np.float32(numbers["amplitude_pixels"])
        y *= np.float32(numbers["amplitude_pixels"])
        x += np.arange(canvas.width, dtype=np.float32)
        y += np.arange(canvas.height, dtype=np.float32)[:, np.newaxis]
        canvas.resample(x, y, border(numbers))


def smooth_fields(seed: int, height: int, width: int, sigma: float) -> NDArray[np.float32]:
    """Two independent fields of white noise smoothed by a Gaussian of `sigma` pixels.

    Smoothing leaves exp(-(sigma * frequency)**2 / 2) of the amplitude at a frequency in radians
    a pixel. A grid with a node a sigma holds frequencies up to pi / sigma, where exp(-pi**2 / 2)
    = 0.7 % is left: it holds all of the field, and cubic enlarging brings it back.

    Returns:
        float32[2, height, width], variance 1 (a little less between nodes).
    """
    spacing = max(1, int(sigma))  # whole pixels between nodes
    margin = 1  # node on every side, so that the cubic never reaches the edge of the grid
    rows, columns = (math.ceil(length / spacing) + 2 * margin for length in (height, width))
    reach = math.ceil(4 * sigma / spacing)  # nodes; beyond it the Gaussian is nothing
    rng = seeded_generator(seed)
    noise = rng.standard_normal((2, rows + 2 * reach, columns + 2 * reach), dtype=np.float32)
    line = cv2.getGaussianKernel(2 * reach + 1, sigma / spacing, cv2.CV_32F)
    start = margin * spacing
    fields = np.empty((2, height, width), np.float32)
    for field, white in zip(fields, noise, strict=True):
        nodes = cv2.sepFilter2D(white, -1, line, line)[reach:-reach, reach:-reach]
        # white noise under weights w has variance sum(w**2), a product kernel the product
        nodes = nodes / np.sum(line**2)
        size = (columns * spacing, rows * spacing)
        enlarged = cv2.resize(nodes, size, interpolation=cv2.INTER_CUBIC)
        field[:] = enlarged[start : start + height, start : start + width]
    return fields
