"""Exchanges left and right."""

from __future__ import annotations

import dataclasses

import numpy as np

from preprocess.augment.canvas import Canvas, mirror
from preprocess.augment.operation import Numbers, Operation


@dataclasses.dataclass(frozen=True, kw_only=True)
class HorizontalFlip(Operation):
    """Exchanges left and right."""

    def draw(self, rng: np.random.Generator, height: int, width: int) -> Numbers:
        """Nothing: to fire is all."""
        return {}

    @staticmethod
    def apply(canvas: Canvas, numbers: Numbers) -> None:
        """Exact: no interpolation when it stands alone."""
        canvas.warp(mirror(canvas.width))
