"""Fills rectangles, wholly inside the picture or clipped at its edges.

`height` and `width` are pixels of a picture `reference` pixels high and wide, and scale
with the picture at hand; a `reference` of 1 makes them fractions.

`place: inside` draws among the places where the whole rectangle fits: the corners are hidden less
often than the middle, and the hole always has its full size. `place: anywhere` draws the centre
among all pixels and cuts off what lies outside, as `Cutout` of albumentations 0.x does and DeVries
and Taylor, "Improved regularization of convolutional neural networks with cutout" (2017),
section 3.2, recommend: part of the holes are small.
"""

from __future__ import annotations

import dataclasses
from typing import Annotated, ClassVar

import cv2
import numpy as np

from preprocess.augment.canvas import Canvas
from preprocess.augment.operation import Numbers, Operation
from preprocess.augment.settings import ChoiceKind, ColourKind, NumberKind, Range, RangeKind

_ONE_HOLE = Range(1, 1)
INSIDE, ANYWHERE = "inside", "anywhere"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Cutout(Operation):
    """Fills rectangles, wholly inside the picture or (`place: anywhere`) clipped at its edges."""

    added: ClassVar[tuple[str, ...]] = ("place",)

    height: Annotated[Range, RangeKind(0, 1e5)]
    width: Annotated[Range, RangeKind(0, 1e5)]
    reference: Annotated[float, NumberKind(1, 1e5)] = 1.0
    count: Annotated[Range, RangeKind(1, 100, integer=True)] = _ONE_HOLE
    fill: Annotated[tuple[int, int, int], ColourKind()] = (0, 0, 0)
    place: Annotated[str, ChoiceKind((INSIDE, ANYWHERE))] = INSIDE

    def draw(self, rng: np.random.Generator, height: int, width: int) -> Numbers:
        """[top, left, height, width] of each hole in whole pixels, as clipped, and the colour."""
        drawn = _anywhere if self.place == ANYWHERE else _inside
        holes = []
        for _ in range(self.count.draw_integer(rng)):
            high = round(self.height.draw(rng) / self.reference * height)
            wide = round(self.width.draw(rng) / self.reference * width)
            top, high = drawn(rng, high, height)
            left, wide = drawn(rng, wide, width)
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


def _inside(rng: np.random.Generator, size: int, side: int) -> tuple[int, int]:
    """(first pixel, pixels) of a hole along one side of the picture, `size` long or as the side."""
    size = min(side, size)
    return int(rng.integers(side - size + 1)), size


def _anywhere(rng: np.random.Generator, size: int, side: int) -> tuple[int, int]:
    """The same with its centre at any pixel, each as likely, less what lies outside."""
    first = int(rng.integers(side)) - size // 2
    start, end = max(0, first), min(side, first + size)
    return start, end - start
