"""How alike the curves of several runs are, epoch by epoch.

Runs that learn the same thing rise together: over all epochs their curves correlate by nearly 1,
which says little. Over the later half of the epochs the rise is mostly over, and what is left tells
whether a good epoch of one run is a good epoch of another, as where the learning rate falls or
where records differ in difficulty.
"""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Mapping, Sequence

from preprocess.shell.json_text import JsonObject
from trainer.monitoring.metric_rows import Row, number
from trainer.report.correlation import LEAST, pearson

_UNDEFINED = f"fewer than {LEAST} epochs in common, or a constant curve"

Curve = Mapping[float, float]
"""A figure by epoch; a validation within an epoch has a fraction for it."""


def curve_of(rows: Sequence[Row], name: str) -> Curve:
    """A column of metrics.jsonl; epochs without a finite value are left out."""
    values = ((float(row["epoch"]), number(row.get(name))) for row in rows)
    return {epoch: value for epoch, value in values if value == value}


def correlation_of(first: Curve, second: Curve, later_half: bool = False) -> float | None:
    """Pearson's correlation of two curves over the epochs that both have, or over the later half of
    these (the larger one of an odd number).

    None where a curve is constant there, or where there are fewer than LEAST epochs.
    """
    epochs = sorted(first.keys() & second.keys())
    if later_half:
        epochs = epochs[len(epochs) // 2 :]
    return pearson([first[each] for each in epochs], [second[each] for each in epochs])


def curve_correlations(curves: Sequence[Curve], metric: str) -> JsonObject:
    """How the curves of `metric` of each two of several runs correlate, as plain data.

    `all_epochs` and `later_half` have the `median` and the `range` over the pairs, null where no
    pair has a correlation, and how many of the pairs have none (`undefined`).
    """
    pairs = list(itertools.combinations(curves, 2))
    return {
        "metric": metric,
        "runs": len(curves),
        "pairs": len(pairs),
        "all_epochs": _spread([correlation_of(a, b) for a, b in pairs]),
        "later_half": _spread([correlation_of(a, b, later_half=True) for a, b in pairs]),
    }


def correlations_in_words(found: JsonObject) -> str:
    """One line; "" for fewer than two runs."""
    if not found.get("pairs"):
        return ""
    runs = f"curves of {found['metric']}: {found['runs']} runs"
    parts = [_words(found, name) for name in ("all_epochs", "later_half")]
    if not any(parts):
        return f"{runs} have no correlation ({_UNDEFINED})"
    everywhere, later = (part or f"undefined ({_UNDEFINED})" for part in parts)
    return f"{runs} correlate over all epochs by {everywhere}, over the later half by {later}"


def _spread(values: Sequence[float | None]) -> JsonObject:
    defined = [value for value in values if value is not None]
    return {
        "median": statistics.median(defined) if defined else None,
        "range": [min(defined), max(defined)] if defined else None,
        "undefined": len(values) - len(defined),
    }


def _words(found: JsonObject, name: str) -> str:
    spread = found[name]
    if spread["median"] is None:
        return ""
    low, high = spread["range"]
    text = f"{spread['median']:.3f} (median; {low:.3f} to {high:.3f}"
    if spread["undefined"]:
        text += f"; undefined for {spread['undefined']} of {found['pairs']} pairs: {_UNDEFINED}"
    return text + ")"
