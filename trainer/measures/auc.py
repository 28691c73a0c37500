"""Area under the ROC curve of each class against the rest, averaged over classes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from trainer.measures.class_counts import Floats
from trainer.metrics import area_under_curve

TASKS = ("classification", "multilabel")
GREATER = True


def build() -> Callable[[Floats, np.ndarray], float | None]:
    """The measure of scores [N,C]; classes that are always or never true are left out."""

    def auc(scores: Floats, truth: np.ndarray) -> float | None:
        areas = [
            area_under_curve(truth == at if truth.ndim == 1 else truth[:, at] > 0, scores[:, at])
            for at in range(scores.shape[1])
        ]
        there = [area for area in areas if area is not None]
        return float(np.mean(there)) if there else None

    return auc
