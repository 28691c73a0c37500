"""How often the true class is among the k with the largest scores: top_2, top_5 and so on."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from trainer.measures.class_counts import Floats
from trainer.metrics import places_of_labels

TASKS = ("classification",)
GREATER = True


def build(k: int) -> Callable[[Floats, np.ndarray], float | None]:
    """The measure of scores [N,C]; ties are ordered by class number."""

    def top_k(scores: Floats, truth: np.ndarray) -> float | None:
        return float((places_of_labels(truth, scores) < k).mean()) if len(scores) else None

    return top_k
