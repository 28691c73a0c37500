"""The share of a class's records that are predicted right, averaged over classes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from trainer.measures.class_counts import Floats, class_counts, mean_share

TASKS = ("classification", "multilabel")
GREATER = True


def build() -> Callable[[Floats, np.ndarray], float | None]:
    """The measure of scores [N,C]."""

    def recall(scores: Floats, truth: np.ndarray) -> float | None:
        counts = class_counts(scores, truth)
        return mean_share(counts.hits, counts.support, counts.seen)

    return recall
