"""Metrics from their names."""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable, Sequence

import numpy as np

from preprocess.shell.errors import ConfigError
from preprocess.shell.references import is_reference, load_function
from trainer.config.measure_table import MEASURES, check_measure, column_of, measure_parts
from trainer.config.own_code import blamed
from trainer.measures.class_counts import Floats

Measure = Callable[[Floats, np.ndarray], float | None]
_TAKES = ("scores", "truth")


def build_measures(names: Sequence[str], task: str) -> dict[str, Measure]:
    """The functions (scores, truth) -> float by name, for a task; a user's own is called NAME.

    Raises:
      ConfigError: unknown metric, or a metric for another task.
    """
    found: dict[str, Measure] = {}
    for name in names:
        check_measure(name, task)
        if is_reference(name):
            found[column_of(name)] = _own(name)
            continue
        entry, settings = measure_parts(name)
        found[name] = MEASURES.module(entry).build(**settings)
    return found


def _own(reference: str) -> Measure:
    """A user's, whose result is a number, or None where it does not exist."""
    function = load_function(reference, "metrics", _TAKES, {}, "nothing")

    def measure(scores: Floats, truth: np.ndarray) -> float | None:
        with blamed("metrics", reference, f"{column_of(reference)}({', '.join(_TAKES)})"):
            value = function(scores, truth)
        if value is None:
            return None
        value = value.item() if isinstance(value, np.ndarray) and value.ndim == 0 else value
        if not isinstance(value, numbers.Real):
            raise ConfigError(
                f"metrics={reference} gives a {type(value).__name__}; it must give one number, or "
                "None if there is none"
            )
        return float(value) if math.isfinite(value) else None

    return measure
