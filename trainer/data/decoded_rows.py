"""Decoded pictures that are kept for the next time they are wanted, in bounded memory."""

from __future__ import annotations

import threading

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Pixels = NDArray[np.uint8]


class DecodedRows:
    """A row a picture, tagged with the variant that it holds: another one takes its place.

    Memory is taken as rows are filled, never more than was allowed; pictures beyond that are
    decoded every time. Threads may share it.

    Attributes:
      capacity: pictures that have a row: those of the first numbers.
    """

    def __init__(self, pictures: int, shape: tuple[int, int, int], most_bytes: int) -> None:
        self.capacity = min(pictures, most_bytes // int(np.prod(shape)))
        self._pixels = np.empty((self.capacity, *shape), np.uint8)
        self._labels = np.empty(self.capacity, np.int64)
        self._variants = np.full(self.capacity, -1, np.int64)
        self._lock = threading.Lock()

    def take(self, numbers: Ints, variants: Ints, image: Pixels, label: Ints) -> Ints:
        """Fills the rows of image and label that are kept; returns the places of the others.

        Args:
          numbers: int64[n] of pictures.
          variants: int64[n], which one of each is wanted.
          image: uint8[n,H,W,C].
          label: int64[n].
        """
        if not self.capacity:
            return np.arange(len(numbers))
        rows = np.minimum(numbers, self.capacity - 1)
        with self._lock:
            kept = (rows == numbers) & (self._variants[rows] == variants)
            image[kept] = self._pixels[rows[kept]]
            label[kept] = self._labels[rows[kept]]
        return np.flatnonzero(~kept)

    def put(self, numbers: Ints, variants: Ints, image: Pixels, label: Ints) -> None:
        """Keeps pictures that were decoded; see take()."""
        kept = numbers < self.capacity
        rows = numbers[kept]
        if not len(rows):
            return
        with self._lock:
            self._pixels[rows] = image[kept]
            self._labels[rows] = label[kept]
            self._variants[rows] = variants[kept]
