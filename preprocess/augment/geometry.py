"""Operations that move pixels. Neighbours in a recipe are fused into one resampling.

Coordinates are pixels, x to the right and y downwards, the centre of the first pixel at (0, 0).
"""

from __future__ import annotations

import dataclasses
import math
from typing import Annotated

import cv2
import numpy as np
from numpy.typing import NDArray

from preprocess.augment.canvas import BORDERS, Border, Canvas, mirror
from preprocess.augment.generator import seeded_generator
from preprocess.augment.operation import Numbers, Operation
from preprocess.augment.settings import ChoiceKind, ColourKind, Range, RangeKind

_ZERO = Range(0.0, 0.0)
_ONE = Range(1.0, 1.0)
_FIVE = Range(5, 5)


@dataclasses.dataclass(frozen=True, kw_only=True)
class HorizontalFlip(Operation):
    """Exchanges left and right."""

    name = "horizontal_flip"

    def draw(self, rng: np.random.Generator, height: int, width: int) -> Numbers:
        """Nothing: to fire is all."""
        return {}

    @staticmethod
    def apply(canvas: Canvas, numbers: Numbers) -> None:
        """Exact: no interpolation when it stands alone."""
        canvas.warp(mirror(canvas.width))


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Bordered(Operation):
    """An operation that can show what lies outside the picture."""

    border: Annotated[str, ChoiceKind(tuple(BORDERS))] = "reflect"
    fill: Annotated[tuple[int, int, int], ColourKind()] = (0, 0, 0)

    def _draw_border(self) -> Numbers:
        """The border, and its colour where that shows."""
        if self.border == "constant":
            return {"border": self.border, "fill": list(self.fill)}
        return {"border": self.border}


def _border(numbers: Numbers) -> Border:
    return numbers["border"], tuple(numbers.get("fill", (0, 0, 0)))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Affine(_Bordered):
    """Shears, scales, rotates and shifts about the centre, in one warp.

    `rotate_degrees` turns counter-clockwise as seen. `shift_x` and `shift_y` are fractions of
    width and height, to the right and down. `scale` above 1 enlarges. `shear_x_degrees` leans
    vertical lines to the right (at the top), `shear_y_degrees` lowers horizontal lines at the
    right; up to 40 degrees each, because 45 against -45 would press the plane into a line.
    """

    name = "affine"

    rotate_degrees: Annotated[Range, RangeKind(-180, 180)] = _ZERO
    shift_x: Annotated[Range, RangeKind(-1, 1)] = _ZERO
    shift_y: Annotated[Range, RangeKind(-1, 1)] = _ZERO
    scale: Annotated[Range, RangeKind(0.1, 10)] = _ONE
    shear_x_degrees: Annotated[Range, RangeKind(-40, 40)] = _ZERO
    shear_y_degrees: Annotated[Range, RangeKind(-40, 40)] = _ZERO

    def draw(self, rng: np.random.Generator, height: int, width: int) -> Numbers:
        """Angles in degrees, shifts in pixels, scale as a factor."""
        return {
            "rotate_degrees": self.rotate_degrees.draw(rng),
            "shift_x_pixels": self.shift_x.draw(rng) * width,
            "shift_y_pixels": self.shift_y.draw(rng) * height,
            "scale_factor": self.scale.draw(rng),
            "shear_x_degrees": self.shear_x_degrees.draw(rng),
            "shear_y_degrees": self.shear_y_degrees.draw(rng),
            **self._draw_border(),
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
        canvas.warp(np.array([[a, b, across], [c, d, down], [0.0, 0.0, 1.0]]), _border(numbers))


@dataclasses.dataclass(frozen=True, kw_only=True)
class RandomCrop(Operation):
    """Cuts out a rectangle and enlarges it to the picture's size.

    `side` is the fraction of both sides that is kept; `aspect` makes the rectangle wider
    (above 1) or narrower at the same area, where the picture is large enough for it.
    """

    name = "random_crop"

    side: Annotated[Range, RangeKind(0.05, 1)]
    aspect: Annotated[Range, RangeKind(0.25, 4)] = _ONE

    def draw(self, rng: np.random.Generator, height: int, width: int) -> Numbers:
        """The rectangle in pixels, somewhere inside the picture; need not be whole pixels."""
        side = self.side.draw(rng)
        stretch = math.sqrt(self.aspect.draw(rng))
        crop_height = height * min(1.0, side / stretch)
        crop_width = width * min(1.0, side * stretch)
        return {
            "top_pixels": float(rng.uniform(0, height - crop_height)),
            "left_pixels": float(rng.uniform(0, width - crop_width)),
            "height_pixels": crop_height,
            "width_pixels": crop_width,
        }

    @staticmethod
    def apply(canvas: Canvas, numbers: Numbers) -> None:
        """A scaling and a shift that put the rectangle's outline on the picture's."""
        across = canvas.width / numbers["width_pixels"]
        down = canvas.height / numbers["height_pixels"]
        # outlines are half a pixel outside the centres of the outermost pixels
        shift_x = (0.5 - numbers["left_pixels"]) * across - 0.5
        shift_y = (0.5 - numbers["top_pixels"]) * down - 0.5
        canvas.warp(np.array([[across, 0.0, shift_x], [0.0, down, shift_y], [0.0, 0.0, 1.0]]))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Perspective(_Bordered):
    """Moves the four corners independently.

    `strength` is the furthest a corner moves along an axis, as a fraction of the side. Below
    0.25 the quadrilateral stays convex, so the picture never folds.
    """

    name = "perspective"

    strength: Annotated[Range, RangeKind(0, 0.24)]

    def draw(self, rng: np.random.Generator, height: int, width: int) -> Numbers:
        """[x, y] in pixels that each corner moves by: left top, right top, right bottom, left."""
        strength = self.strength.draw(rng)
        moves = rng.uniform(-strength, strength, size=(4, 2)) * (width, height)
        return {"corner_moves_pixels": moves.tolist(), **self._draw_border()}

    @staticmethod
    def apply(canvas: Canvas, numbers: Numbers) -> None:
        """The projective map that takes the outline's corners to their new places."""
        right, bottom = canvas.width - 0.5, canvas.height - 0.5
        corners = np.array([[-0.5, -0.5], [right, -0.5], [right, bottom], [-0.5, bottom]])
        moved = corners + numbers["corner_moves_pixels"]
        matrix = cv2.getPerspectiveTransform(corners.astype(np.float32), moved.astype(np.float32))
        canvas.warp(matrix, _border(numbers))


@dataclasses.dataclass(frozen=True, kw_only=True)
class GridDistortion(Operation):
    """Stretches columns and rows of a grid by different factors; the outline stays in place.

    `cells` is the number of columns and of rows, `stretch` the factor range of each before
    they are scaled together to fill the picture. All factors are positive: nothing folds.
    """

    name = "grid_distortion"

    cells: Annotated[Range, RangeKind(2, 32, integer=True)] = _FIVE
    stretch: Annotated[Range, RangeKind(0.2, 5)]

    def draw(self, rng: np.random.Generator, height: int, width: int) -> Numbers:
        """A factor a column, left to right, and a row, top to bottom."""
        cells = self.cells.draw_integer(rng)
        return {
            "column_factors": rng.uniform(*self.stretch, size=cells).tolist(),
            "row_factors": rng.uniform(*self.stretch, size=cells).tolist(),
        }

    @staticmethod
    def apply(canvas: Canvas, numbers: Numbers) -> None:
        """Piecewise linear along each axis."""
        across = _stretched(canvas.width, numbers["column_factors"])
        down = _stretched(canvas.height, numbers["row_factors"])
        canvas.resample(across[np.newaxis, :], down[:, np.newaxis])


def _stretched(length: int, factors: list[float]) -> NDArray[np.float32]:
    """For each of `length` pixels, where along the axis it comes from.

    The picture is cut into equal cells; cell i becomes `factors[i]` (scaled to fill) wide.
    """
    ends = np.concatenate([[0.0], np.cumsum(factors)])
    came_from = np.linspace(0.0, length, len(ends))
    place = np.interp(np.arange(length) + 0.5, ends * (length / ends[-1]), came_from)
    return (place - 0.5).astype(np.float32)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ElasticDistortion(_Bordered):
    """Moves every pixel by a smooth random field (Simard et al., 2003).

    Both settings are fractions of the shorter side: `amplitude` is the root mean square of the
    movement along an axis, `sigma` the Gaussian's that smooths the field. An amplitude below a
    third of sigma bends without folding.
    """

    name = "elastic_distortion"

    amplitude: Annotated[Range, RangeKind(0, 0.2)]
    sigma: Annotated[Range, RangeKind(0.01, 0.5)]

    def draw(self, rng: np.random.Generator, height: int, width: int) -> Numbers:
        """Lengths in pixels, and the seed of the field."""
        shorter = min(height, width)
        return {
            "amplitude_pixels": self.amplitude.draw(rng) * shorter,
            "sigma_pixels": self.sigma.draw(rng) * shorter,
            "seed": int(rng.integers(2**32)),
            **self._draw_border(),
        }

    @staticmethod
    def apply(canvas: Canvas, numbers: Numbers) -> None:
        """The field is drawn coarse and enlarged: far cheaper than smoothing at full size."""
        sigma = max(1.0, numbers["sigma_pixels"])
        x, y = smooth_fields(numbers["seed"], canvas.height, canvas.width, sigma)
        x *= np.float32(numbers["amplitude_pixels"])
        y *= np.float32(numbers["amplitude_pixels"])
        x += np.arange(canvas.width, dtype=np.float32)
        y += np.arange(canvas.height, dtype=np.float32)[:, np.newaxis]
        canvas.resample(x, y, _border(numbers))


def smooth_fields(seed: int, height: int, width: int, sigma: float) -> NDArray[np.float32]:
    """Two independent fields of white noise smoothed by a Gaussian of `sigma` pixels.

    Smoothing leaves exp(-(sigma * frequency)**2 / 2) of the amplitude at a frequency in radians
    a pixel. A grid with a node a sigma holds frequencies up to pi / sigma, where exp(-pi**2 / 2)
    = 0.7 % is left: it holds all of the field, and cubic enlarging brings it back.

    Returns:
        float32[2, height, width], variance 1 (a little less between nodes).
    """
    spacing = max(1, int(sigma))  # whole pixels between nodes
    margin = 1  # node on every side, so that the cubic never reaches the edge of the grid
    rows, columns = (math.ceil(length / spacing) + 2 * margin for length in (height, width))
    reach = math.ceil(4 * sigma / spacing)  # nodes; beyond it the Gaussian is nothing
    rng = seeded_generator(seed)
    noise = rng.standard_normal((2, rows + 2 * reach, columns + 2 * reach), dtype=np.float32)
    line = cv2.getGaussianKernel(2 * reach + 1, sigma / spacing, cv2.CV_32F)
    start = margin * spacing
    fields = np.empty((2, height, width), np.float32)
    for field, white in zip(fields, noise, strict=True):
        nodes = cv2.sepFilter2D(white, -1, line, line)[reach:-reach, reach:-reach]
        # white noise under weights w has variance sum(w**2), a product kernel the product
        nodes = nodes / np.sum(line**2)
        size = (columns * spacing, rows * spacing)
        enlarged = cv2.resize(nodes, size, interpolation=cv2.INTER_CUBIC)
        field[:] = enlarged[start : start + height, start : start + width]
    return fields
