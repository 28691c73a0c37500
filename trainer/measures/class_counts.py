"""True positives, predicted and true counts of each class, for precision, recall and F1."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

THRESHOLD = 0.5  # a label is predicted from here on, in multi-label tasks

Floats = NDArray[np.float64]


class ClassCounts(NamedTuple):
    """float64[C] each."""

    hits: Floats
    predicted: Floats
    support: Floats

    @property
    def seen(self) -> NDArray[np.bool_]:
        """bool[C]: the classes that occur or are predicted; figures of others are undefined."""
        return (self.predicted + self.support) > 0


def class_counts(scores: Floats, truth: np.ndarray, threshold: float = THRESHOLD) -> ClassCounts:
    """Counts for the class with the largest score, or for labels scored `threshold` or more.

    Args:
      scores: float64[N,C].
      truth: int[N], or bool[N,C].
      threshold: for multi-label tasks.
    """
    classes = scores.shape[1]
    if truth.ndim == 1:
        chosen = scores.argmax(1) if len(scores) else np.zeros(0, np.int64)
        parts = (truth[chosen == truth], chosen, truth)
        counts = [np.bincount(part, minlength=classes) for part in parts]
    else:
        said, true = scores >= threshold, truth.astype(bool)
        counts = [part.sum(0) for part in (said & true, said, true)]
    return ClassCounts(*(np.asarray(count, np.float64) for count in counts))


def mean_share(part: Floats, whole: Floats, seen: NDArray[np.bool_]) -> float | None:
    """The mean of part / whole over the classes that occur, 0 where whole is 0, as in
    scikit-learn; None if none occurs.
    """
    if not seen.any():
        return None
    return float((part[seen] / np.maximum(whole[seen], 1)).mean())
