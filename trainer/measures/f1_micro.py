"""F1 over all labels of all records (micro F1); with one class a record, the accuracy."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from trainer.measures.class_counts import Floats, class_counts

TASKS = ("classification", "multilabel")
GREATER = True


def build() -> Callable[[Floats, np.ndarray], float | None]:
    """The measure of scores [N,C]."""

    def f1(scores: Floats, truth: np.ndarray) -> float | None:
        hits, predicted, support = (part.sum() for part in class_counts(scores, truth))
        return float(2 * hits / (predicted + support)) if predicted + support else None

    return f1
