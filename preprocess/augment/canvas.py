"""A picture on its way through a recipe, touched as few times as possible.

Resampling costs time and sharpness. So maps of the plane are multiplied into one matrix and
lookup tables into one table, and both wait until an operation needs the pixels themselves.
Only one kind waits at a time: the order of a recipe is kept.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from preprocess.augment.stage_clock import Stopwatch

BORDERS = {
    "reflect": cv2.BORDER_REFLECT_101,
    "replicate": cv2.BORDER_REPLICATE,
    "constant": cv2.BORDER_CONSTANT,
}
"""What lies outside a picture: its mirror image, its edge pixels, or the fill colour."""

MAX_SIDE = 32_766  # pixels; OpenCV's warps address the source with 16-bit coordinates

Image = NDArray[np.uint8]
Border = tuple[str, tuple[int, ...]]

LEVELS = np.arange(256, dtype=np.float64)
"""Every value that a channel of a pixel can have."""

_IDENTITY = np.eye(3)
_STRIP = 32  # rows resampled at a time: their coordinates stay in the processor's cache


class Canvas:
    """Holds a uint8[H, W, 3] RGB picture; never writes to the array it was given."""

    def __init__(self, image: Image, watch: Stopwatch | None = None) -> None:
        self._watch = watch or Stopwatch()
        self._operation = ""  # that is at work
        self._mover = ""  # the last operation that had a say in the matrix that waits
        self._colourer = ""  # the same of the table
        self._image = image
        self._owned = False
        self._matrix: NDArray[np.float64] | None = None
        self._border: Border | None = None
        self._table: Image | None = None
        self.height, self.width = image.shape[:2]

    def begin(self, operation: str) -> None:
        """From here on it is this operation's time; "" = nobody's. Work that waits counts for the
        last operation that asked for it, whoever brings it about.
        """
        if self._operation:
            self._watch.lap(self._operation)
        self._operation = operation

    def warp(self, matrix: NDArray[np.float64], border: Border | None = None) -> None:
        """Moves the point p of the picture to `matrix @ p`.

        In a chain of warps the source picture is what continues beyond its edges, not the
        half-way result: reflection then shows more of the picture instead of a mirrored seam.

        Args:
            matrix: float64[3, 3] on homogeneous (x, y, 1), in pixels, the centre of the first
                pixel at (0, 0).
            border: (a key of BORDERS, RGB fill), or None for a map that shows nothing from
                outside the picture; it then joins any chain.
        """
        self._apply_table()
        if border is not None and self._border is not None and border != self._border:
            self._apply_matrix()
        self._matrix = matrix if self._matrix is None else matrix @ self._matrix
        self._border = border or self._border
        self._mover = self._operation

    def resample(
        self, x: NDArray[np.float32], y: NDArray[np.float32], border: Border | None = None
    ) -> None:
        """Takes each pixel [row, column] from the point (x[row, column], y[row, column]).

        Args:
            x: float32[H, W], in pixels, or [1, W] where all rows are alike.
            y: float32[H, W], in pixels, or [H, 1] where all columns are alike.
            border: As for `warp`; warps that wait are folded in.
        """
        self._apply_table()
        if border is not None and self._border is not None and border != self._border:
            self._apply_matrix()
        mode, fill = border or self._border or ("reflect", (0, 0, 0))
        inverse = np.linalg.inv(_IDENTITY if self._matrix is None else self._matrix)
        self._matrix = self._border = None
        result = np.empty_like(self._image)
        for top in range(0, self.height, _STRIP):
            rows = slice(top, min(top + _STRIP, self.height))
            shape = (rows.stop - top, self.width)
            points = _transform(inverse, _rows(x, rows), _rows(y, rows))
            across, down = (np.ascontiguousarray(np.broadcast_to(p, shape)) for p in points)
            cv2.remap(
                self._image,
                across,
                down,
                cv2.INTER_LINEAR,
                dst=result[rows],
                borderMode=BORDERS[mode],
                borderValue=fill,
            )
        self._set(result)

    def look_up(self, table: Image) -> None:
        """Replaces every level v by table[v]; uint8[256] for all channels alike."""
        self._apply_matrix()
        self._table = table if self._table is None else table[self._table]
        self._colourer = self._operation

    def read(self) -> Image:
        """The pixels as they are now; not to be written to."""
        self._apply_matrix()
        self._apply_table()
        return self._image

    def write(self) -> Image:
        """The pixels as they are now, in an array that may be written to."""
        image = self.read()
        if not self._owned:
            self._set(image.copy())
        return self._image

    def replace(self, image: Image) -> None:
        """Sets new pixels of the same shape, made from what `read` gave."""
        self._set(image)

    def _set(self, image: Image) -> None:
        self._image = image
        self._owned = True

    def _apply_table(self) -> None:
        if self._table is not None:
            self.begin(self._operation)
            self._set(cv2.LUT(self._image, self._table))
            self._table = None
            self._watch.lap(self._colourer)

    def _apply_matrix(self) -> None:
        matrix, border = self._matrix, self._border
        self._matrix = self._border = None
        if matrix is None or np.array_equal(matrix, _IDENTITY):
            return
        self.begin(self._operation)
        self._set(self._moved(matrix, border))
        self._watch.lap(self._mover)

    def _moved(self, matrix: NDArray[np.float64], border: Border | None) -> Image:
        if np.array_equal(matrix, mirror(self.width)):
            return np.asarray(cv2.flip(self._image, 1))
        mode, fill = border or ("reflect", (0, 0, 0))
        how = {"flags": cv2.INTER_LINEAR, "borderMode": BORDERS[mode], "borderValue": fill}
        size = (self.width, self.height)
        if _is_affine(matrix):
            return np.asarray(cv2.warpAffine(self._image, matrix[:2], size, **how))
        return np.asarray(cv2.warpPerspective(self._image, matrix, size, **how))


def mirror(width: int) -> NDArray[np.float64]:
    """The matrix, float64[3, 3], that exchanges left and right in a picture `width` wide."""
    return np.array([[-1.0, 0.0, width - 1.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])


def to_levels(values: NDArray[np.float64]) -> Image:
    """Rounded and clipped to uint8: no level wraps around."""
    return np.rint(np.clip(values, 0, 255)).astype(np.uint8)


def _transform(
    matrix: NDArray[np.float64], x: NDArray[np.float32], y: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """`matrix @ (x, y, 1)` for every point; the brackets add the smaller arrays first."""
    if np.array_equal(matrix, _IDENTITY):
        return x, y
    (a, b, c), (d, e, f), (g, h, i) = matrix.astype(np.float32)
    across, down = a * x + (b * y + c), d * x + (e * y + f)
    if not _is_affine(matrix):
        depth = g * x + (h * y + i)
        across, down = across / depth, down / depth
    return across, down


def _rows(values: NDArray[np.float32], rows: slice) -> NDArray[np.float32]:
    """The rows, or the only row."""
    return values if len(values) == 1 else values[rows]


def _is_affine(matrix: NDArray[np.float64]) -> bool:
    return matrix[2, 0] == 0 and matrix[2, 1] == 0 and matrix[2, 2] == 1
