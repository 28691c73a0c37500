"""Harmonic mean of precision and recall of a class, averaged over classes (macro F1)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from trainer.measures.class_counts import Floats, class_counts, mean_share

TASKS = ("classification", "multilabel")
GREATER = True


def build() -> Callable[[Floats, np.ndarray], float | None]:
    """The measure of scores [N,C]."""

    def f1(scores: Floats, truth: np.ndarray) -> float | None:
        counts = class_counts(scores, truth)
        return mean_share(2 * counts.hits, counts.predicted + counts.support, counts.seen)

    return f1
