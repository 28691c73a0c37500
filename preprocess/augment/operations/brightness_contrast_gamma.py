"""Multiplies the level, then its distance from mid-grey, then bends the curve.

With v in [0, 1]: v * brightness; (v - 0.5) * contrast + 0.5; clipped; v ** gamma (above 1
darkens the middle). Neighbours of this kind in a recipe are one table.
"""

from __future__ import annotations

import dataclasses
from typing import Annotated

import numpy as np

from preprocess.augment.canvas import LEVELS, Canvas, to_levels
from preprocess.augment.operation import Numbers, Operation
from preprocess.augment.settings import ONE, Range, RangeKind


@dataclasses.dataclass(frozen=True, kw_only=True)
class BrightnessContrastGamma(Operation):
    """Multiplies the level, then its distance from mid-grey, then bends the curve."""

    brightness: Annotated[Range, RangeKind(0, 10)] = ONE
    contrast: Annotated[Range, RangeKind(0, 10)] = ONE
    gamma: Annotated[Range, RangeKind(0.05, 20)] = ONE

    def draw(self, rng: np.random.Generator, height: int, width: int) -> Numbers:
        """Two factors and an exponent."""
        return {
            "brightness_factor": self.brightness.draw(rng),
            "contrast_factor": self.contrast.draw(rng),
            "gamma_exponent": self.gamma.draw(rng),
        }

    @staticmethod
    def apply(canvas: Canvas, numbers: Numbers) -> None:
        """One table of 256 levels."""
        level = LEVELS / 255 * numbers["brightness_factor"]
        level = (level - 0.5) * numbers["contrast_factor"] + 0.5
        level = np.clip(level, 0, 1) ** numbers["gamma_exponent"]
        canvas.look_up(to_levels(level * 255))
