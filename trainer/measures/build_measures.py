"""Metrics from their names."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from trainer.config.measure_table import MEASURES, check_measure, measure_parts
from trainer.measures.class_counts import Floats

Measure = Callable[[Floats, np.ndarray], float | None]


def build_measures(names: Sequence[str], task: str) -> dict[str, Measure]:
    """The functions (scores, truth) -> float by name, for a task.

    Raises:
      ConfigError: unknown metric, or a metric for another task.
    """
    found: dict[str, Measure] = {}
    for name in names:
        check_measure(name, task)
        entry, settings = measure_parts(name)
        found[name] = MEASURES.module(entry).build(**settings)
    return found
