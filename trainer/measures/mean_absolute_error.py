"""Absolute error in each target's own unit, averaged over targets."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from trainer.measures.class_counts import Floats

TASKS = ("regression",)
GREATER = False


def build() -> Callable[[Floats, np.ndarray], float | None]:
    """The measure of numbers [N,T]."""

    def error(scores: Floats, truth: np.ndarray) -> float | None:
        return float(np.abs(scores - truth).mean()) if len(scores) else None

    return error
