"""Correlations of a few numbers, None where they are undefined."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

LEAST = 3  # numbers: of two, every correlation is 1 or -1


def pearson(first: ArrayLike, second: ArrayLike) -> float | None:
    """The correlation of two equally long series of finite numbers.

    None where one of them is constant, or where they have fewer than LEAST numbers.
    """
    a, b = np.asarray(first, np.float64), np.asarray(second, np.float64)
    # Compared before the mean is subtracted: rounding would leave a constant some deviation.
    if len(a) < LEAST or np.ptp(a) == 0 or np.ptp(b) == 0:
        return None
    a, b = a - a.mean(), b - b.mean()
    # Scaled first, so that squares of tiny deviations are not lost.
    a, b = a / np.abs(a).max(), b / np.abs(b).max()
    return float(np.clip(a @ b / np.sqrt((a @ a) * (b @ b)), -1, 1))


def rank_correlation(first: Sequence[float], second: Sequence[float]) -> float | None:
    """Spearman's: the correlation of the ranks, equal numbers sharing the mean of theirs."""
    return pearson(_ranks(first), _ranks(second))


def _ranks(numbers: Sequence[float]) -> NDArray[np.float64]:
    _, at, counts = np.unique(numbers, return_inverse=True, return_counts=True)
    ranks: NDArray[np.float64] = (np.cumsum(counts) - (counts - 1) / 2)[at]
    return ranks
