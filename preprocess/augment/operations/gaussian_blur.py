"""Blurs by a Gaussian of `sigma_pixels`."""

from __future__ import annotations

import dataclasses
from typing import Annotated

import cv2
import numpy as np

from preprocess.augment.canvas import Canvas
from preprocess.augment.operation import Numbers, Operation
from preprocess.augment.settings import Range, RangeKind


@dataclasses.dataclass(frozen=True, kw_only=True)
class GaussianBlur(Operation):
    """Blurs by a Gaussian of `sigma_pixels`."""

    sigma_pixels: Annotated[Range, RangeKind(0.05, 50)]

    def draw(self, rng: np.random.Generator, height: int, width: int) -> Numbers:
        """The Gaussian's standard deviation in pixels."""
        return {"sigma_pixels": self.sigma_pixels.draw(rng)}

    @staticmethod
    def apply(canvas: Canvas, numbers: Numbers) -> None:
        """The picture continues mirrored beyond its edges."""
        canvas.replace(cv2.GaussianBlur(canvas.read(), (0, 0), numbers["sigma_pixels"]))
