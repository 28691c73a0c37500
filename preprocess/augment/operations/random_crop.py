"""Cuts out a rectangle and enlarges it to the picture's size.

`side` is the fraction of both sides that is kept; `aspect` makes the rectangle wider
(above 1) or narrower at the same area, where the picture is large enough for it.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Annotated

import numpy as np

from preprocess.augment.canvas import Canvas
from preprocess.augment.operation import Numbers, Operation
from preprocess.augment.settings import ONE, Range, RangeKind


@dataclasses.dataclass(frozen=True, kw_only=True)
class RandomCrop(Operation):
    """Cuts out a rectangle and enlarges it to the picture's size."""

    side: Annotated[Range, RangeKind(0.05, 1)]
    aspect: Annotated[Range, RangeKind(0.25, 4)] = ONE

    def draw(self, rng: np.random.Generator, height: int, width: int) -> Numbers:
        """The rectangle in pixels, somewhere inside the picture; need not be whole pixels."""
        side = self.side.draw(rng)
        stretch = math.sqrt(self.aspect.draw(rng))
        crop_height = height * min(1.0, side / stretch)
        crop_width = width * min(1.0, side * stretch)
        return {
            "top_pixels": float(rng.uniform(0, height - crop_height)),
            "left_pixels": float(rng.uniform(0, width - crop_width)),
            "height_pixels": crop_height,
            "width_pixels": crop_width,
        }

    @staticmethod
    def apply(canvas: Canvas, numbers: Numbers) -> None:
        """A scaling and a shift that put the rectangle's outline on the picture's."""
        across = canvas.width / numbers["width_pixels"]
        down = canvas.height / numbers["height_pixels"]
        # outlines are half a pixel outside the centres of the outermost pixels
        shift_x = (0.5 - numbers["left_pixels"]) * across - 0.5
        shift_y = (0.5 - numbers["top_pixels"]) * down - 0.5
        canvas.warp(np.array([[across, 0.0, shift_x], [0.0, down, shift_y], [0.0, 0.0, 1.0]]))
