"""Stretches columns and rows of a grid by different factors; the outline stays in place.

`cells` is the number of columns and of rows, `stretch` the factor range of each before
they are scaled together to fill the picture. All factors are positive: nothing folds.
"""

from __future__ import annotations

import dataclasses
from typing import Annotated

import numpy as np
from numpy.typing import NDArray

from preprocess.augment.canvas import Canvas
from preprocess.augment.operation import Numbers, Operation
from preprocess.augment.settings import Range, RangeKind

_FIVE = Range(5, 5)


@dataclasses.dataclass(frozen=True, kw_only=True)
class GridDistortion(Operation):
    """Stretches columns and rows of a grid by different factors; the outline stays in place."""

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
