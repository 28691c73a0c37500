"""Operations that change the colour of each pixel by itself. No level ever wraps around."""

from __future__ import annotations

import dataclasses
from typing import Annotated

import cv2
import numpy as np

from preprocess.augment.canvas import Canvas
from preprocess.augment.operation import Numbers, Operation
from preprocess.augment.settings import Range, RangeKind

_ZERO = Range(0.0, 0.0)
_ONE = Range(1.0, 1.0)
_LEVELS = np.arange(256, dtype=np.float64)


@dataclasses.dataclass(frozen=True, kw_only=True)
class HueSaturationValue(Operation):
    """Turns the hue and multiplies saturation and value.

    Factors, not shifts: a shift of saturation tints grey pixels red, and a shift of value lifts
    black cutouts to grey. With factors a grey picture stays grey, whatever is drawn.
    """

    name = "hue_saturation_value"

    hue_degrees: Annotated[Range, RangeKind(-180, 180)] = _ZERO
    saturation: Annotated[Range, RangeKind(0, 10)] = _ONE
    value: Annotated[Range, RangeKind(0, 10)] = _ONE

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
        table[0, :, 1] = _to_levels(_LEVELS * numbers["saturation_factor"])
        table[0, :, 2] = _to_levels(_LEVELS * numbers["value_factor"])
        hsv = cv2.cvtColor(canvas.read(), cv2.COLOR_RGB2HSV)
        cv2.LUT(hsv, table, dst=hsv)
        canvas.replace(cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB, dst=hsv))


@dataclasses.dataclass(frozen=True, kw_only=True)
class BrightnessContrastGamma(Operation):
    """Multiplies the level, then its distance from mid-grey, then bends the curve.

    With v in [0, 1]: v * brightness; (v - 0.5) * contrast + 0.5; clipped; v ** gamma (above 1
    darkens the middle). Neighbours of this kind in a recipe are one table.
    """

    name = "brightness_contrast_gamma"

    brightness: Annotated[Range, RangeKind(0, 10)] = _ONE
    contrast: Annotated[Range, RangeKind(0, 10)] = _ONE
    gamma: Annotated[Range, RangeKind(0.05, 20)] = _ONE

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
        level = _LEVELS / 255 * numbers["brightness_factor"]
        level = (level - 0.5) * numbers["contrast_factor"] + 0.5
        level = np.clip(level, 0, 1) ** numbers["gamma_exponent"]
        canvas.look_up(_to_levels(level * 255))


def _to_levels(values: np.ndarray) -> np.ndarray:
    """Rounded and clipped to uint8."""
    return np.rint(np.clip(values, 0, 255)).astype(np.uint8)
