"""Rows of metrics.jsonl: which metrics and splits they hold, and their figures as numbers.

A row is `{"epoch": 1, "loss": ..., "val_loss": ..., "val_NAME_loss": ...}`; an accuracy
comes with `..._interval: [low, high]`. A value that does not exist is None or missing. A row of a
validation within an epoch has a fraction for its epoch, and nothing of training.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from preprocess.shell.json_text import JsonObject

Row = JsonObject


def accuracy_name(rows: Sequence[Row]) -> str:
    """The metric that comes with an interval; `accuracy` where none does."""
    ending = "_interval"
    names = {n.removesuffix(ending) for row in rows for n in row if n.endswith(ending)}
    # Of training, or else of the first split, whose column has the shortest name.
    name = min(names, key=lambda each: (each.startswith("val_"), len(each)), default="accuracy")
    return name.removeprefix("val_")


def prefixes(rows: Sequence[Row]) -> list[str]:
    """The metric prefixes of the rows: "" = training, then the splits in order of appearance."""
    accuracy = accuracy_name(rows)
    metrics = ("loss", accuracy)
    names: dict[str, None] = {"": None}
    for row in rows:
        for name in row:
            for metric in metrics:
                if name == f"val_{metric}":
                    names["val_"] = None
                elif name.startswith("val_") and name.endswith(f"_{metric}"):
                    prefix = name[: -len(metric)]
                    # Of the part of a task there is a loss only: val_numbers_loss.
                    if prefix + accuracy in row or f"val_{accuracy}" not in row:
                        names[prefix] = None
    return list(names)


def number(value: object) -> float:
    """A finite float, or NaN for None, text, infinities and anything else."""
    if isinstance(value, bool) or not isinstance(value, (int, float, np.number)):
        return math.nan
    return float(value) if math.isfinite(value) else math.nan


def column(rows: Sequence[Row], name: str) -> np.ndarray:
    """float64 [epochs]: a column of the rows, NaN where it has no finite number."""
    return np.array([number(row.get(name)) for row in rows], dtype=np.float64)


def mean(rows: Sequence[Row], name: str) -> float | None:
    """Over the epochs but the first, which fills caches and counts only where it is alone."""
    values = [row[name] for row in rows if row.get(name) is not None]
    values = values[1:] or values
    return sum(values) / len(values) if values else None


def typical(rows: Sequence[Row], name: str) -> float:
    """The median of a column after the first epoch, which carries the start-up; of that one if it
    is alone. NaN without values.
    """
    values = column([row for row in rows if name in row], name)
    values = values[1:] if len(values) > 1 else values
    values = values[np.isfinite(values)]
    return float(np.median(values)) if len(values) else math.nan
