"""Moves the four corners independently.

`strength` is the furthest a corner moves along an axis, as a fraction of the side. Below
0.25 the quadrilateral stays convex, so the picture never folds.
"""

from __future__ import annotations

import dataclasses
from typing import Annotated

import cv2
import numpy as np

from preprocess.augment.canvas import Canvas
from preprocess.augment.operation import BorderedOperation, Numbers, border
from preprocess.augment.settings import Range, RangeKind


@dataclasses.dataclass(frozen=True, kw_only=True)
class Perspective(BorderedOperation):
    """Moves the four corners independently."""

    strength: Annotated[Range, RangeKind(0, 0.24)]

    def draw(self, rng: np.random.Generator, height: int, width: int) -> Numbers:
        """[x, y] in pixels that each corner moves by: left top, right top, right bottom, left."""
        strength = self.strength.draw(rng)
        moves = rng.uniform(-strength, strength, size=(4, 2)) * (width, height)
        return {"corner_moves_pixels": moves.tolist(), **self.draw_border()}

    @staticmethod
    def apply(canvas: Canvas, numbers: Numbers) -> None:
        """The projective map that takes the outline's corners to their new places."""
        right, bottom = canvas.width - 0.5, canvas.height - 0.5
        corners = np.array([[-0.5, -0.5], [right, -0.5], [right, bottom], [-0.5, bottom]])
        moved = corners + numbers["corner_moves_pixels"]
        matrix = cv2.getPerspectiveTransform(corners.astype(np.float32), moved.astype(np.float32))
        canvas.warp(matrix, border(numbers))
