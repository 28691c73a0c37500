"""Turns the hue and multiplies saturation and value.

Factors, not shifts: a shift of saturation tints grey pixels red, and a shift of value lifts
black cutouts to grey. With factors a grey picture stays grey, whatever is drawn.
"""

from __future__ import annotations

import dataclasses
from typing import Annotated

import cv2
import numpy as np

from preprocess.augment.canvas import LEVELS, Canvas, to_levels
from preprocess.augment.operation import Numbers, Operation
from preprocess.augment.settings import ONE, ZERO, Range, RangeKind


@dataclasses.dataclass(frozen=True, kw_only=True)
class HueSaturationValue(Operation):
    """Turns the hue and multiplies saturation and value."""

    hue_degrees: Annotated[Range, RangeKind(-180, 180)] = ZERO
    saturation: Annotated[Range, RangeKind(0, 10)] = ONE
    value: Annotated[Range, RangeKind(0, 10)] = ONE

    def draw(self, rng: np.random.Generator, height: int, width: int) -> Numbers:
        """Degrees around the colour circle (red, yellow, green: 0, 60, 120) and two factors."""
        return {
            "hue_degrees": self.hue_degrees.draw(rng),
            "saturation_factor": self.saturation.draw(rng),
            "value_factor": self.value.draw(rng),
        }

    @staticmethod
    def apply(canvas: Canvas, numbers: Numbers) -> None:
        """One table with a column a channel, between two conversions."""
        table = np.empty((1, 256, 3), np.uint8)
        # hue comes in steps of two degrees; the conversions with 256 steps are half as fast
        table[0, :, 0] = (np.arange(256) + round(numbers["hue_degrees"] / 2)) % 180
        table[0, :, 1] = to_levels(LEVELS * numbers["saturation_factor"])
        table[0, :, 2] = to_levels(LEVELS * numbers["value_factor"])
        hsv = cv2.cvtColor(canvas.read(), cv2.COLOR_RGB2HSV)
        cv2.LUT(hsv, table, dst=hsv)
        canvas.replace(cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB, dst=hsv))
