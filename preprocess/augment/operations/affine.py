"""Shears, scales, rotates and shifts about the centre, in one warp.

`rotate_degrees` turns counter-clockwise as seen. `shift_x` and `shift_y` are fractions of
width and height, to the right and down. `scale` above 1 enlarges. `shear_x_degrees` leans
vertical lines to the right (at the top), `shear_y_degrees` lowers horizontal lines at the
right; up to 40 degrees each, because 45 against -45 would press the plane into a line.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Annotated

import numpy as np

from preprocess.augment.canvas import Canvas
from preprocess.augment.operation import BorderedOperation, Numbers, border
from preprocess.augment.settings import ONE, ZERO, Range, RangeKind


@dataclasses.dataclass(frozen=True, kw_only=True)
class Affine(BorderedOperation):
    """Shears, scales, rotates and shifts about the centre, in one warp."""

    rotate_degrees: Annotated[Range, RangeKind(-180, 180)] = ZERO
    shift_x: Annotated[Range, RangeKind(-1, 1)] = ZERO
    shift_y: Annotated[Range, RangeKind(-1, 1)] = ZERO
    scale: Annotated[Range, RangeKind(0.1, 10)] = ONE
    shear_x_degrees: Annotated[Range, RangeKind(-40, 40)] = ZERO
    shear_y_degrees: Annotated[Range, RangeKind(-40, 40)] = ZERO

    def draw(self, rng: np.random.Generator, height: int, width: int) -> Numbers:
        """Angles in degrees, shifts in pixels, scale as a factor."""
        return {
            "rotate_degrees": self.rotate_degrees.draw(rng),
            "shift_x_pixels": self.shift_x.draw(rng) * width,
            "shift_y_pixels": self.shift_y.draw(rng) * height,
            "scale_factor": self.scale.draw(rng),
            "shear_x_degrees": self.shear_x_degrees.draw(rng),
            "shear_y_degrees": self.shear_y_degrees.draw(rng),
            **self.draw_border(),
        }

    @staticmethod
    def apply(canvas: Canvas, numbers: Numbers) -> None:
        """One matrix: shift @ rotation * scale @ shear, about the centre."""
        angle = math.radians(numbers["rotate_degrees"])
        # y points down, so a counter-clockwise turn is [[c, s], [-s, c]] here
        cos = math.cos(angle) * numbers["scale_factor"]
        sin = math.sin(angle) * numbers["scale_factor"]
        lean_x = -math.tan(math.radians(numbers["shear_x_degrees"]))
        lean_y = math.tan(math.radians(numbers["shear_y_degrees"]))
        a, b = cos + sin * lean_y, cos * lean_x + sin
        c, d = -sin + cos * lean_y, -sin * lean_x + cos
        x, y = (canvas.width - 1) / 2, (canvas.height - 1) / 2
        across = x - a * x - b * y + numbers["shift_x_pixels"]
        down = y - c * x - d * y + numbers["shift_y_pixels"]
        canvas.warp(np.array([[a, b, across], [c, d, down], [0.0, 0.0, 1.0]]), border(numbers))
