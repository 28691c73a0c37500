"""Blurs along a straight line, as a moving camera does.

`angle_degrees` is the line's, counter-clockwise from horizontal.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Annotated

import cv2
import numpy as np
from numpy.typing import NDArray

from preprocess.augment.canvas import Canvas
from preprocess.augment.operation import Numbers, Operation
from preprocess.augment.settings import Range, RangeKind

_EVERY_LINE = Range(-90.0, 90.0)  # degrees; a line looks the same after half a turn


@dataclasses.dataclass(frozen=True, kw_only=True)
class MotionBlur(Operation):
    """Blurs along a straight line, as a moving camera does."""

    length_pixels: Annotated[Range, RangeKind(1, 101)]
    angle_degrees: Annotated[Range, RangeKind(-180, 180)] = _EVERY_LINE

    def draw(self, rng: np.random.Generator, height: int, width: int) -> Numbers:
        """The line's length in pixels and its angle in degrees."""
        return {
            "length_pixels": self.length_pixels.draw(rng),
            "angle_degrees": self.angle_degrees.draw(rng),
        }

    @staticmethod
    def apply(canvas: Canvas, numbers: Numbers) -> None:
        """The picture continues mirrored beyond its edges."""
        kernel = line_kernel(numbers["length_pixels"], numbers["angle_degrees"])
        canvas.replace(cv2.filter2D(canvas.read(), -1, kernel))


def line_kernel(length: float, angle_degrees: float) -> NDArray[np.float32]:
    """A line of `length` pixels through the middle of a square, as weights that sum to 1.

    Returns:
        float32[n, n] with the smallest odd n that holds the line; length 1 is the single
        pixel, which blurs nothing.
    """
    angle = math.radians(angle_degrees)
    across, up = math.cos(angle), math.sin(angle)
    steep = abs(up) > abs(across)
    longer, shorter = (-up, across) if steep else (across, -up)
    # a step of one pixel along the longer axis, shared by two neighbours along the shorter one
    half = (length - 1) / 2 * abs(longer)
    reach = math.ceil(round(half, 6))  # not a pixel more for a rounding error
    steps = np.arange(-reach, reach + 1)
    weights = np.clip(half + 1 - np.abs(steps), 0, 1)  # the ends may cover part of a pixel
    off_line = np.abs(steps[:, np.newaxis] - steps * (shorter / longer))
    kernel = np.maximum(0.0, 1 - off_line) * weights
    kernel = kernel.T if steep else kernel
    return (kernel / kernel.sum()).astype(np.float32)
