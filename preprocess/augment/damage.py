"""Operations that take information away: cutout, blur, noise, JPEG."""

from __future__ import annotations

import dataclasses
import functools
import math
import statistics
from typing import Annotated

import cv2
import numpy as np
from numpy.typing import NDArray

from preprocess.augment.canvas import Canvas
from preprocess.augment.generator import seeded_generator
from preprocess.augment.operation import Numbers, Operation
from preprocess.augment.settings import ColourKind, NumberKind, Range, RangeKind

_ZERO_NOISE = 128  # how noise of either sign is held in 8 bits; 2.9 sigma of 40 levels fit
_ONE_HOLE = Range(1, 1)
_EVERY_LINE = Range(-90.0, 90.0)  # degrees; a line looks the same after half a turn


@dataclasses.dataclass(frozen=True, kw_only=True)
class Cutout(Operation):
    """Fills rectangles that lie wholly inside the picture.

    `height` and `width` are pixels of a picture `reference` pixels high and wide, and scale
    with the picture at hand; a `reference` of 1 makes them fractions.
    """

    name = "cutout"

    height: Annotated[Range, RangeKind(0, 1e5)]
    width: Annotated[Range, RangeKind(0, 1e5)]
    reference: Annotated[float, NumberKind(1, 1e5)] = 1.0
    count: Annotated[Range, RangeKind(1, 100, integer=True)] = _ONE_HOLE
    fill: Annotated[tuple[int, int, int], ColourKind()] = (0, 0, 0)

    def draw(self, rng: np.random.Generator, height: int, width: int) -> Numbers:
        """[top, left, height, width] of each hole in whole pixels, and the colour."""
        holes = []
        for _ in range(self.count.draw_integer(rng)):
            high = min(height, round(self.height.draw(rng) / self.reference * height))
            wide = min(width, round(self.width.draw(rng) / self.reference * width))
            top = int(rng.integers(height - high + 1))
            left = int(rng.integers(width - wide + 1))
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


@dataclasses.dataclass(frozen=True, kw_only=True)
class GaussianBlur(Operation):
    """Blurs by a Gaussian of `sigma_pixels`."""

    name = "gaussian_blur"

    sigma_pixels: Annotated[Range, RangeKind(0.05, 50)]

    def draw(self, rng: np.random.Generator, height: int, width: int) -> Numbers:
        """The Gaussian's standard deviation in pixels."""
        return {"sigma_pixels": self.sigma_pixels.draw(rng)}

    @staticmethod
    def apply(canvas: Canvas, numbers: Numbers) -> None:
        """The picture continues mirrored beyond its edges."""
        canvas.replace(cv2.GaussianBlur(canvas.read(), (0, 0), numbers["sigma_pixels"]))


@dataclasses.dataclass(frozen=True, kw_only=True)
class MotionBlur(Operation):
    """Blurs along a straight line, as a moving camera does.

    `angle_degrees` is the line's, counter-clockwise from horizontal.
    """

    name = "motion_blur"

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


@dataclasses.dataclass(frozen=True, kw_only=True)
class GaussianNoise(Operation):
    """Adds independent Gaussian noise to every channel of every pixel."""

    name = "gaussian_noise"

    sigma_levels: Annotated[Range, RangeKind(0, 40)]

    def draw(self, rng: np.random.Generator, height: int, width: int) -> Numbers:
        """The standard deviation in levels of 255, and the seed of the noise."""
        return {
            "sigma_levels": self.sigma_levels.draw(rng),
            "seed": int(rng.integers(2**32)),
        }

    @staticmethod
    def apply(canvas: Canvas, numbers: Numbers) -> None:
        """A random byte selects one of 256 equally likely quantiles of the Gaussian.

        Whole levels are added to whole levels, so nothing is lost against real-valued noise but
        its far tail (beyond 2.9 sigma), and random bytes cost a tenth of random normals.
        """
        image = canvas.read()
        noise = np.rint(_normal_quantiles() * numbers["sigma_levels"]) + _ZERO_NOISE
        words = seeded_generator(numbers["seed"]).bit_generator.random_raw(-(-image.size // 8))
        chance = words.astype("<u8", copy=False).view(np.uint8)[: image.size].reshape(image.shape)
        added = cv2.LUT(chance, noise.astype(np.uint8))
        canvas.replace(cv2.addWeighted(image, 1, added, 1, -_ZERO_NOISE, dst=added))


@functools.cache
def _normal_quantiles() -> NDArray[np.float64]:
    """256 equally likely values with mean 0 and variance 1, Gaussian but for the far tails."""
    normal = statistics.NormalDist()
    values = np.array([normal.inv_cdf((level + 0.5) / 256) for level in range(256)])
    return values / values.std()


@dataclasses.dataclass(frozen=True, kw_only=True)
class JpegQuality(Operation):
    """Compresses as JPEG of a low quality and decodes again."""

    name = "jpeg_quality"

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
