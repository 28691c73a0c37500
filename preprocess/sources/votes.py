"""Votes -> shares that sum to 1, from shares, percentages or counts of annotators.

The kind is decided for the whole table by most of its rows, never row by row: 1, 0, 0 may be a
share or a count.
"""

from __future__ import annotations

import functools
import math
from collections import Counter

from preprocess.sources.numbers import number
from preprocess.sources.refusals import Reason, Refused

SHARES, PERCENTAGES, COUNTS = "shares", "percentages", "counts"
# Shares written with six digits may miss a sum of 1 by 1.5e-6. They stay unchanged: dividing 0.5,
# 0.333333, 0.166666 by their sum would turn the 0.5 into a majority.
ROUNDING = 5e-6
TOLERANCE = 0.02  # three shares rounded to two digits may miss 1 by 0.015

Votes = tuple[float, float, float]


@functools.lru_cache(maxsize=1024)  # six to twelve annotators vote in 399 ways
def parsed(*cells: str) -> Votes:
    """Three numbers of a row; raises Refused for texts, negative or infinite numbers."""
    try:
        first, second, third = (number(cell) for cell in cells)
    except ValueError:
        raise Refused(Reason.BAD_NUMBER, f"votes {', '.join(cells)}"[:200]) from None
    # Written so that NaN fails too.
    if not (min(first, second, third) >= 0 and math.isfinite(first + second + third)):
        raise Refused(Reason.BAD_NUMBER, f"votes {first:g}, {second:g}, {third:g}")
    return first, second, third


@functools.lru_cache(maxsize=1024)
def kinds(votes: Votes) -> frozenset[str]:
    """The kinds that these three may be."""
    total = sum(votes)
    fits = {
        SHARES: _is_near(total, 1),
        PERCENTAGES: _is_near(total / 100, 1),
        COUNTS: total >= 1 and all(vote.is_integer() for vote in votes),
    }
    return frozenset(kind for kind, fit in fits.items() if fit)


class Kinds:
    """Counts the kinds that a table's rows may be."""

    def __init__(self) -> None:
        self._rows: Counter[frozenset[str]] = Counter()

    def add(self, votes: Votes) -> None:
        """Counts a row."""
        self._rows[kinds(votes)] += 1

    def fitting(self, kind: str) -> int:
        """How many rows fit a kind."""
        return sum(count for fits, count in self._rows.items() if kind in fits)

    @property
    def decided(self) -> str:
        """The first kind that at least half of the rows fit; shares if there is none."""
        for kind in (SHARES, PERCENTAGES, COUNTS):
            if 2 * self.fitting(kind) >= self._rows.total():
                return kind
        return SHARES


@functools.lru_cache(maxsize=1024)
def as_shares(votes: Votes, kind: str) -> Votes:
    """Three shares that sum to 1; raises Refused if the three are not of this kind."""
    first, second, third = votes
    total = first + second + third
    if kind == COUNTS:
        if COUNTS not in kinds(votes):
            shown = f"{first:g}, {second:g}, {third:g}"
            raise Refused(Reason.BAD_VOTES, f"votes {shown} are not counts, as in most rows")
        return first / total, second / total, third / total
    unit = 100 if kind == PERCENTAGES else 1
    if not _is_near(total / unit, 1):
        raise Refused(Reason.BAD_VOTES, f"the votes sum to {total:g}, not {unit}")
    if abs(total / unit - 1) <= ROUNDING:
        return first / unit, second / unit, third / unit
    return first / total, second / total, third / total


def _is_near(total: float, one: float) -> bool:
    return abs(total - one) <= TOLERANCE + 1e-9  # 1.02 - 1 is above 0.02 in floats
