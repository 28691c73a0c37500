"""Figures of regression: R² with its interval, and errors for each target."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import NormalDist

import numpy as np

from preprocess.dataset_format import Target
from preprocess.shell.json_text import JsonObject
from trainer.tasks.outputs import Floats

CONFIDENCE = 0.95  # of an interval
MOST_POINTS = 1_000  # of a scatter plot, sampled evenly over the split


def r_squared(predicted: Floats, true: Floats) -> tuple[float | None, tuple[float, float] | None]:
    """R², the mean over targets, and its two-sided interval of 95 % by the delta method.

    With e the errors and d the deviations from the mean, R² = 1 - mean(e²) / mean(d²). A record's
    influence on it is mean(e²) (d² - mean(d²)) / mean(d²)² - (e² - mean(e²)) / mean(d²), whose
    standard deviation over the root of N is the standard error.

    Args:
      predicted: float64[N,T].
      true: float64[N,T].

    Returns:
      (None, None) where every target is constant; constant targets are left out of the mean.
    """
    varies = np.ptp(true, axis=0) > 0 if len(true) else np.zeros(true.shape[1], bool)
    if not varies.any():
        return None, None
    true, predicted = true[:, varies], predicted[:, varies]
    errors, spread = (predicted - true) ** 2, (true - true.mean(0)) ** 2
    error, variance = errors.mean(0), spread.mean(0)
    found = float((1 - error / variance).mean())
    influence = error * (spread - variance) / variance**2 - (errors - error) / variance
    half = NormalDist().inv_cdf((1 + CONFIDENCE) / 2)
    half *= float(influence.mean(1).std()) / len(true) ** 0.5
    return found, (found - half, min(1.0, found + half))


def number_report(predicted: Floats, true: Floats, targets: Sequence[Target]) -> JsonObject:
    """All figures of targets [N,T], plain data for JSON; None if a figure is undefined.

    Returns:
      `targets`, one row each: `target`, `mean_absolute_error`, `root_mean_squared_error`, `r2`,
      `bias` (the mean of predicted - true), `mean` and `std` (of the split), `points` [true,
      predicted] of at most MOST_POINTS records.
    """
    step = max(1, -(-len(true) // MOST_POINTS))
    rows: list[JsonObject] = []
    for at, target in enumerate(targets):
        ours, theirs = predicted[:, at], true[:, at]
        some = len(true) > 0
        rows.append(
            {
                "target": target.name,
                "mean_absolute_error": float(np.abs(ours - theirs).mean()) if some else None,
                "root_mean_squared_error": float(((ours - theirs) ** 2).mean() ** 0.5)
                if some
                else None,
                "r2": r_squared(ours[:, np.newaxis], theirs[:, np.newaxis])[0],
                "bias": float((ours - theirs).mean()) if some else None,
                "mean": float(theirs.mean()) if some else None,
                "std": float(theirs.std()) if some else None,
                "points": np.stack([theirs, ours], 1)[::step].tolist(),
            }
        )
    return {"targets": rows}
