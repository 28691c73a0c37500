"""Which of several training sets each row of a batch comes from: pure integer functions.

Rows are counted over all batches of a run: row r is in step r // batch_size. The sets take turns in
a pattern that repeats, so how many of the first r rows are of a set is arithmetic, and a run can
start at any step, on any number of replicas.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from fractions import Fraction

import numpy as np

from trainer.data.order import BatchRows, Ints, ReplicaSlice

MOST_PARTS = 10_000  # length of a pattern; of shares that follow the numbers of records, too


def parts_of(records: Sequence[int]) -> list[int]:
    """Integers, at most MOST_PARTS together and at least 1 each, in proportion to others.

    Exact where the proportion has such numbers; else the largest remainders are rounded up.
    """
    divisor = math.gcd(*records)
    parts = [count // divisor for count in records]
    if sum(parts) <= MOST_PARTS:
        return parts
    exact = [Fraction(count * MOST_PARTS, sum(records)) for count in records]
    parts = [max(1, math.floor(each)) for each in exact]
    by_remainder = sorted(range(len(exact)), key=lambda i: parts[i] - exact[i])
    for number in by_remainder[: max(0, MOST_PARTS - sum(parts))]:
        parts[number] += 1
    return parts


def fair_pattern(parts: Sequence[int]) -> Ints:
    """int64[sum(parts)]: the set of each row, each of them as often as it has parts, spread so
    evenly that no beginning of the pattern has one row too many or too few of a set.

    R. Tijdeman, "The chairman assignment problem", Discrete Mathematics 32 (1980): after t rows,
    each set has its share of t to within 1 - 1 / (2 n - 2), for n sets.
    """
    total, twice = sum(parts), 2 * len(parts) - 2
    given = [0] * len(parts)
    pattern = np.zeros(total, np.int64)
    for row in range(total if twice else 0):
        due = [twice * (part * (row + 1) - n * total) for part, n in zip(parts, given, strict=True)]
        able = [number for number, amount in enumerate(due) if amount >= total]
        latest = [Fraction((twice - 1) * total - due[number], parts[number]) for number in able]
        chosen = able[latest.index(min(latest))]
        pattern[row] = chosen
        given[chosen] += 1
    return pattern


class Shares:
    """The turns of several sets.

    Attributes:
      parts: of each set, without a common divisor.
      length: of the pattern, their sum.
    """

    def __init__(self, parts: Sequence[int]) -> None:
        """Takes positive integers; their proportions count."""
        divisor = math.gcd(*parts)
        self.parts = [part // divisor for part in parts]
        self.length = sum(self.parts)
        self._pattern = fair_pattern(self.parts)
        turns = self._pattern[:, np.newaxis] == np.arange(len(parts))
        self._before = np.concatenate([np.zeros((1, len(parts)), np.int64), turns.cumsum(axis=0)])
        self._rows = [np.flatnonzero(column).astype(np.int64) for column in turns.T]

    def sets(self, rows: Ints) -> Ints:
        """int64[n]: the set of each of rows int64[n]."""
        return self._pattern[rows % self.length]

    def before(self, number: int, row: int) -> int:
        """How many of the rows before `row` are of set `number`."""
        whole, rest = divmod(row, self.length)
        return whole * self.parts[number] + int(self._before[rest, number])

    def row(self, number: int, index: int) -> int:
        """The row of the `index`-th one of a set, counted from 0: the inverse of before()."""
        return int(self.rows(number, np.asarray([index]))[0])

    def rows(self, number: int, index: Ints) -> Ints:
        """row() of each of int64[n]."""
        part = self.parts[number]
        return index // part * self.length + self._rows[number][index % part]


@dataclasses.dataclass(frozen=True)
class SetRows:
    """The rows that one of several sets has in the batches of a run.

    Its records are counted over its own passes, one after the other, without padding.
    """

    shares: Shares
    number: int
    batch_size: int  # of the global batch

    def pieces(
        self, step: int, replicas: ReplicaSlice, records: int
    ) -> list[tuple[int, BatchRows]]:
        """(pass, rows) of a step for an input pipeline: one, or several where a pass ends.

        Args:
          step: of the run.
          replicas: those that the pipeline feeds.
          records: of a pass of the set.
        """
        size = self.batch_size // replicas.total
        first = step * self.batch_size + replicas.first * size
        end = first + replicas.count * size
        index = np.arange(
            self.shares.before(self.number, first), self.shares.before(self.number, end)
        )
        rows = self.shares.rows(self.number, index) - step * self.batch_size
        passes = index // records
        return [
            (number, self._rows(index[passes == number] % records, rows[passes == number]))
            for number in (np.unique(passes).tolist() or [0])
        ]

    def piece(self, step: int, replicas: ReplicaSlice, records: int, of_pass: int) -> BatchRows:
        """The rows of pieces() that are of one pass; there may be none."""
        found = dict(self.pieces(step, replicas, records))
        nothing = np.zeros(0, np.int64)
        return found.get(of_pass, self._rows(nothing, nothing))

    def _rows(self, positions: Ints, rows: Ints) -> BatchRows:
        weight = np.ones(len(rows), np.float32)
        share = weight / np.float32(self.batch_size)
        return BatchRows(positions, weight, share, rows.astype(np.int32))

    def pass_at(self, step: int, records: int) -> int:
        """The pass in which a step begins."""
        return self.shares.before(self.number, step * self.batch_size) // records

    def steps_of_pass(self, of_pass: int, records: int) -> tuple[int, int]:
        """The first step with a record of a pass, and the one after the last."""
        first = self.shares.row(self.number, of_pass * records)
        last = self.shares.row(self.number, (of_pass + 1) * records - 1)
        return first // self.batch_size, last // self.batch_size + 1
