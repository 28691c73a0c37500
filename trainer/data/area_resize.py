"""Resizing by area averages without TensorFlow, bit for bit equal to `tf.image.resize`.

Sums are float32, and whether a mean of one half is rounded up or down depends on the order of
summation: first along a row, then down the columns, as in TensorFlow's resize_area_op.cc.
"""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


def stretch(pixels: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """uint8 [side, side, C] from pixels uint8 [H, W, C], both at least 1."""
    height, width, _ = pixels.shape
    rows, row_weights, row_scale = _taps(height, side)
    columns, column_weights, column_scale = _taps(width, side)
    values = pixels.astype(np.float32)
    along = np.zeros((height, side, pixels.shape[2]), np.float32)
    for column, weight in zip(columns, column_weights, strict=True):
        along += values[:, column] * weight[:, np.newaxis]
    total = np.zeros((side, side, pixels.shape[2]), np.float32)
    for row, weight in zip(rows, row_weights, strict=True):
        total += along[row] * weight[:, np.newaxis, np.newaxis]
    mean = total * np.float32(1.0 / (row_scale * column_scale))
    return np.round(mean).astype(np.uint8)


@functools.lru_cache(maxsize=256)
def _taps(old: int, new: int) -> tuple[NDArray[np.int64], Floats, np.float32]:
    """For one axis, the source pixels of each target pixel: indices and weights, [most, new] each,
    and the number of source pixels per target pixel.
    """
    scale = np.float32(old) / np.float32(new)
    one = np.float32(1)
    start = np.arange(new).astype(np.float32) * scale
    stop = np.arange(1, new + 1).astype(np.float32) * scale
    first, last = np.floor(start).astype(np.int64), np.ceil(stop).astype(np.int64) - 1
    taps = first + np.arange((last - first).max() + 1)[:, np.newaxis]
    place = taps.astype(np.float32)
    ends_inside = place + one > stop
    weights = np.where(
        place < start,
        np.where(ends_inside, scale, place + one - start),
        np.where(ends_inside, stop - place, one),
    )
    weights = np.where(taps <= last, weights, np.float32(0))
    return np.clip(taps, 0, old - 1), weights.astype(np.float32), scale
