"""The share of predictions of a class that are right, averaged over classes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from trainer.measures.class_counts import Floats, class_counts, mean_share

TASKS = ("classification", "multilabel")
GREATER = True


def build() -> Callable[[Floats, np.ndarray], float | None]:
    """The measure of scores [N,C]."""

    def precision(scores: Floats, truth: np.ndarray) -> float | None:
        counts = class_counts(scores, truth)
        return mean_share(counts.hits, counts.predicted, counts.seen)

    return precision
