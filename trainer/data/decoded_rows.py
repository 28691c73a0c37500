"""A bounded cache of decoded pictures."""

from __future__ import annotations

import threading

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Pixels = NDArray[np.uint8]


class DecodedRows:
    """One row for each picture, tagged with the variant it holds; other variants replace it.

    Memory is allocated as rows are filled, never more than allowed; pictures beyond that are
    decoded every time. Thread-safe.

    Attributes:
      capacity: number of pictures that have a row, those with the lowest numbers.
    """

    def __init__(
        self, pictures: int, shape: tuple[int, int, int], most_bytes: int, targets: np.dtype
    ) -> None:
        self.capacity = min(pictures, most_bytes // int(np.prod(shape)))
        self._pixels = np.empty((self.capacity, *shape), np.uint8)
        self._targets = np.empty(self.capacity, targets)
        self._variants = np.full(self.capacity, -1, np.int64)
        self._lock = threading.Lock()

    def take(self, numbers: Ints, variants: Ints, image: Pixels, target: np.ndarray) -> Ints:
        """Copies the cached pictures into image and target; returns the indices of the others.

        Args:
          numbers: int64[n] of the pictures.
          variants: int64[n], the wanted variant of each.
          image: uint8[n,H,W,C].
          target: [n] of the targets' type.
        """
        if not self.capacity:
            return np.arange(len(numbers))
        rows = np.minimum(numbers, self.capacity - 1)
        with self._lock:
            kept = (rows == numbers) & (self._variants[rows] == variants)
            image[kept] = self._pixels[rows[kept]]
            target[kept] = self._targets[rows[kept]]
        return np.flatnonzero(~kept)

    def put(self, numbers: Ints, variants: Ints, image: Pixels, target: np.ndarray) -> None:
        """Caches pictures that were decoded after take()."""
        kept = numbers < self.capacity
        rows = numbers[kept]
        if not len(rows):
            return
        with self._lock:
            self._pixels[rows] = image[kept]
            self._targets[rows] = target[kept]
            self._variants[rows] = variants[kept]
