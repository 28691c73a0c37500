"""Curves out of the rows of metrics.jsonl: which splits there are, and where their points lie.

A row is `{"epoch": 1, "loss": ..., "val_loss": ..., "val_NAME_loss": ...}`; an accuracy
comes with `..._interval: [low, high]`. A value that does not exist is None or missing.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

Row = Mapping[str, Any]

# The training value of an epoch is an average over it, so it belongs to the epoch's middle;
# the validation value is measured at its end.
TRAIN_SHIFT = -0.5

# The rows do not name the first validation split; called so where nothing else does.
VALIDATION = "validation"


@dataclasses.dataclass(frozen=True)
class Curve:
    """One line of a plot; all arrays are float64 [epochs], NaN where there is no value."""

    label: str
    prefix: str  # "" for training, "val_", or "val_NAME_"
    epochs: np.ndarray
    values: np.ndarray
    low: np.ndarray
    high: np.ndarray


def accuracy_name(rows: Sequence[Row]) -> str:
    """`triplet_accuracy` where the rows speak of it, else `accuracy`."""
    names = {name for row in rows for name in row}
    triplets = "triplet_accuracy" in names or (
        "accuracy" not in names and "val_triplet_accuracy" in names
    )
    return "triplet_accuracy" if triplets else "accuracy"


def prefixes(rows: Sequence[Row]) -> list[str]:
    """The metric prefixes of the rows: "" = training, then the splits in order of appearance."""
    metrics = ("loss", accuracy_name(rows))
    found: dict[str, None] = {"": None}
    for row in rows:
        for name in row:
            for metric in metrics:
                if name == f"val_{metric}":
                    found["val_"] = None
                elif name.startswith("val_") and name.endswith(f"_{metric}"):
                    found[name[: -len(metric)]] = None
    return list(found)


def split_label(prefix: str, first: str = VALIDATION) -> str:
    """How a prefix is called: training, or the split's own name, which for `val_` is `first`."""
    if not prefix:
        return "training"
    return prefix.removeprefix("val_").removesuffix("_") or first


def number(value: Any) -> float:
    """A finite float, or NaN for None, text, infinities and anything else."""
    if isinstance(value, bool) or not isinstance(value, (int, float, np.number)):
        return math.nan
    return float(value) if math.isfinite(value) else math.nan


def column(rows: Sequence[Row], name: str) -> np.ndarray:
    """float64 [epochs]: a column of the rows, NaN where it has no finite number."""
    return np.array([number(row.get(name)) for row in rows], dtype=np.float64)


def typical(rows: Sequence[Row], name: str) -> float:
    """The median of a column after the first epoch, which carries the start-up; of that one if it
    is alone. NaN without values.
    """
    values = column(rows, name)
    values = values[1:] if len(values) > 1 else values
    values = values[np.isfinite(values)]
    return float(np.median(values)) if len(values) else math.nan


def curves(rows: Sequence[Row], metric: str, first: str = VALIDATION) -> list[Curve]:
    """The curves of `loss` or of an accuracy, training first; without those that are empty.
    `first` is the name of the first validation split.
    """
    epochs = np.array(
        [number(row.get("epoch", at + 1)) for at, row in enumerate(rows)], dtype=np.float64
    )
    found = []
    for prefix in prefixes(rows):
        values = column(rows, prefix + metric)
        if np.isnan(values).all():
            continue
        bounds = np.array([_interval(row.get(f"{prefix}{metric}_interval")) for row in rows])
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
