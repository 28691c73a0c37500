"""Fills rectangles that lie wholly inside the picture.

`height` and `width` are pixels of a picture `reference` pixels high and wide, and scale
with the picture at hand; a `reference` of 1 makes them fractions.
"""

from __future__ import annotations

import dataclasses
from typing import Annotated

import cv2
import numpy as np

from preprocess.augment.canvas import Canvas
from preprocess.augment.operation import Numbers, Operation
from preprocess.augment.settings import ColourKind, NumberKind, Range, RangeKind

_ONE_HOLE = Range(1, 1)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Cutout(Operation):
    """Fills rectangles that lie wholly inside the picture."""

    height: Annotated[Range, RangeKind(0, 1e5)]
    width: Annotated[Range, RangeKind(0, 1e5)]
    reference: Annotated[float, NumberKind(1, 1e5)] = 1.0
    count: Annotated[Range, RangeKind(1, 100, integer=True)] = _ONE_HOLE
    fill: Annotated[tuple[int, int, int], ColourKind()] = (0, 0, 0)

    def draw(self, rng: np.random.Generator, height: int, width: int) -> Numbers:
        """[top, left, height, width] of each hole in whole pixels, and the colour."""
        holes = []
        for _ in range(self.count.draw_integer(rng)):
            high = min(height, round(self.height.draw(rng) / self.reference * height))
            wide = min(width, round(self.width.draw(rng) / self.reference * width))
            top = int(rng.integers(height - high + 1))
            left = int(rng.integers(width - wide + 1))
            holes.append([top, left, high, wide])
        return {"holes_top_left_height_width_pixels": holes, "fill": list(self.fill)}

    @staticmethod
    def apply(canvas: Canvas, numbers: Numbers) -> None:
        """Written in place."""
        image = canvas.write()
        for top, left, high, wide in numbers["holes_top_left_height_width_pixels"]:
            if high and wide:
                last = (left + wide - 1, top + high - 1)
                cv2.rectangle(image, (left, top), last, numbers["fill"], cv2.FILLED)
