"""Curves out of the rows of metrics.jsonl: where their points lie."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from trainer.monitoring.metric_rows import Row, column, number, prefixes

# The training value of an epoch is an average over it, so it belongs to the epoch's middle;
# the validation value is measured at its end.
TRAIN_SHIFT = -0.5

# The rows do not name the first validation split; called so where nothing else does.
VALIDATION = "validation"


@dataclasses.dataclass(frozen=True)
class Curve:
    """One line of a plot; all arrays are float64 [epochs], NaN if there is no value."""

    label: str
    prefix: str  # "" for training, "val_", or "val_NAME_"
    epochs: np.ndarray
    values: np.ndarray
    low: np.ndarray
    high: np.ndarray


def split_label(prefix: str, first: str = VALIDATION) -> str:
    """How a prefix is called: training, or the split's own name, which for `val_` is `first`."""
    if not prefix:
        return "training"
    return prefix.removeprefix("val_").removesuffix("_") or first


def curves(rows: Sequence[Row], metric: str, first: str = VALIDATION) -> list[Curve]:
    """The curves of `loss` or of an accuracy, training first; without those that are empty.
    `first` is the name of the first validation split.
    """
    found = []
    for prefix in prefixes(rows):
        # Not every row has been validated: a line goes through those that have.
        measured = [(at, row) for at, row in enumerate(rows, 1) if prefix + metric in row]
        values = column([row for _, row in measured], prefix + metric)
        if np.isnan(values).all():
            continue
        epochs = np.array([number(row.get("epoch", at)) for at, row in measured], np.float64)
        bounds = np.array([_interval(row.get(f"{prefix}{metric}_interval")) for _, row in measured])
        found.append(
            Curve(
                label=split_label(prefix, first),
                prefix=prefix,
                epochs=epochs + (TRAIN_SHIFT if not prefix else 0.0),
                values=values,
                low=bounds[:, 0],
                high=bounds[:, 1],
            )
        )
    return found


def _interval(value: Any) -> tuple[float, float]:
    if isinstance(value, Sequence) and not isinstance(value, str) and len(value) == 2:
        return number(value[0]), number(value[1])
    return math.nan, math.nan
