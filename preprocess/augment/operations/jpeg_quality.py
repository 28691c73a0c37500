"""Compresses as JPEG of a low quality and decodes again."""

from __future__ import annotations

import dataclasses
from typing import Annotated

import cv2
import numpy as np

from preprocess.augment.canvas import Canvas
from preprocess.augment.operation import Numbers, Operation
from preprocess.augment.settings import Range, RangeKind


@dataclasses.dataclass(frozen=True, kw_only=True)
class JpegQuality(Operation):
    """Compresses as JPEG of a low quality and decodes again."""

    quality: Annotated[Range, RangeKind(1, 100, integer=True)]

    def draw(self, rng: np.random.Generator, height: int, width: int) -> Numbers:
        """The quality, 1 to 100."""
        return {"quality": self.quality.draw_integer(rng)}

    @staticmethod
    def apply(canvas: Canvas, numbers: Numbers) -> None:
        """JPEG halves the resolution of colour, so the channel order matters even here."""
        bgr = cv2.cvtColor(canvas.read(), cv2.COLOR_RGB2BGR)
        quality = [cv2.IMWRITE_JPEG_QUALITY, numbers["quality"]]
        _, encoded = cv2.imencode(".jpg", bgr, quality)
        decoded = cv2.imdecode(encoded, cv2.IMREAD_COLOR)
        canvas.replace(cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB, dst=decoded))
