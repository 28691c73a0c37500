"""What finished runs show: means, their intervals, and which differences are noise."""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Sequence

from trainer.search.search_run import FAILED, Run, identity
from trainer.search.space import Params

CONFIDENCE = 0.95


@dataclasses.dataclass(frozen=True)
class Point:
    """The runs of one point together.

    Attributes:
      params: the searched keys with their values.
      values: of the metric, of its finished runs.
      failed: how many of its runs failed.
      mean: of the values; None if there are none.
      interval: (low, high), 95 %, of the mean; None if nothing tells it.
      deviation: standard error of the mean, or None.
    """

    params: Params
    values: tuple[float, ...]
    failed: int
    mean: float | None
    interval: tuple[float, float] | None
    deviation: float | None


@dataclasses.dataclass(frozen=True)
class Noise:
    """How much runs of the same point differ.

    Attributes:
      source: "repeats": their spread, pooled over all points; "records": no point was repeated,
        so only the number of records measured on is taken into account; "unknown".
      deviation: standard deviation of a run, where `source` is "repeats".
      freedom: degrees of freedom behind it; 0 = not from repeats.
    """

    source: str
    deviation: float | None
    freedom: int


def noise_of(points: Sequence[Sequence[float]], has_intervals: bool) -> Noise:
    """The noise of one run, pooled over points: each is taken to be equally noisy.

    Args:
      points: the values of each point.
      has_intervals: whether runs have an interval of their own.
    """
    freedom = sum(len(values) - 1 for values in points if values)
    if not freedom:
        return Noise("records" if has_intervals else "unknown", None, 0)
    squares = sum(
        (value - statistics.fmean(values)) ** 2 for values in points if values for value in values
    )
    return Noise("repeats", math.sqrt(squares / freedom), freedom)


def summarise(points: Sequence[Params], runs: Sequence[Run], greater: bool) -> list[Point]:
    """A Point for each of `points`, the best first; those without a value, or with a run that
    failed, last.
    """
    groups = [[run for run in runs if identity(run.params) == identity(p)] for p in points]
    values = [tuple(run.value for run in group if run.value is not None) for group in groups]
    intervals = [next((run.interval for run in group if run.interval), None) for group in groups]
    noise = noise_of(values, any(intervals))
    found = []
    for params, group, mine, interval in zip(points, groups, values, intervals, strict=True):
        failed = sum(run.state == FAILED for run in group)
        mean = statistics.fmean(mine) if mine else None
        deviation = None
        bounds = None
        if mean is not None and noise.deviation is not None:
            deviation = noise.deviation / math.sqrt(len(mine))
            half = t_quantile((1 + CONFIDENCE) / 2, noise.freedom) * deviation
            bounds = (mean - half, mean + half)
        elif mean is not None and interval is not None:
            bounds = interval
            normal = statistics.NormalDist().inv_cdf((1 + CONFIDENCE) / 2)
            deviation = (interval[1] - interval[0]) / (2 * normal)
        found.append(Point(params, mine, failed, mean, bounds, deviation))

    def rank(point: Point) -> tuple[bool, float]:
        worst = point.mean is None or bool(point.failed)
        value = point.mean if point.mean is not None else 0.0
        return worst, -value if greater else value

    return sorted(found, key=rank)


def best_of(points: Sequence[Point]) -> Point | None:
    """The first of summarise(), where it may be the best: a point that diverges for one seed in
    three is none to train for long.
    """
    return points[0] if points and points[0].mean is not None and not points[0].failed else None


def within_noise(best: Point, others: Sequence[Point], noise: Noise) -> list[bool | None]:
    """For each other point, whether its difference to the best one may be noise.

    A two-sided test of the difference of two means at 5 % for all comparisons together
    (Bonferroni): with Student's t where runs were repeated, otherwise with the normal
    distribution of the share among the records measured on. None = nothing tells.
    """
    level = 1 - (1 - CONFIDENCE) / (2 * max(1, len(others)))
    found: list[bool | None] = []
    for other in others:
        if (
            other.mean is None
            or best.mean is None
            or other.deviation is None
            or best.deviation is None
        ):
            found.append(None)
            continue
        if noise.freedom:
            quantile = t_quantile(level, noise.freedom)
        else:
            quantile = statistics.NormalDist().inv_cdf(level)
        limit = quantile * math.hypot(best.deviation, other.deviation)
        found.append(abs(best.mean - other.mean) <= limit)
    return found


def t_quantile(share: float, freedom: int) -> float:
    """The quantile of Student's t distribution, by bisection of its distribution function.

    Args:
      share: below it, in (0.5, 1).
      freedom: degrees of freedom, at least 1.
    """
    low, high = 0.0, 1.0
    while _t_below(high, freedom) < share:
        high *= 2
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if _t_below(middle, freedom) < share else (low, middle)
    return (low + high) / 2


def _t_below(t: float, freedom: int) -> float:
    """P(T <= t) for t >= 0: the finite series of Abramowitz and Stegun 26.7.3 and 26.7.4."""
    angle = math.atan(t / math.sqrt(freedom))
    cosine = math.cos(angle)
    if freedom % 2:
        total, term = 0.0, cosine
        for k in range(1, freedom - 1, 2):
            total += term
            term *= cosine**2 * (k + 1) / (k + 2)
        between = 2 / math.pi * (angle + math.sin(angle) * total)
    else:
        total, term = 0.0, 1.0
        for k in range(0, freedom - 1, 2):
            total += term
            term *= cosine**2 * (k + 1) / (k + 2)
        between = math.sin(angle) * total
    return (1 + between) / 2
