"""The turns of several training sets: their shares, and that no record is missing or doubled."""

from fractions import Fraction

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from trainer.data.order import ReplicaSlice
from trainer.data.shares import MOST_PARTS, SetRows, Shares, fair_pattern, parts_of

PARTS = st.lists(st.integers(1, 60), min_size=1, max_size=5)


@given(PARTS)
def test_no_beginning_has_one_row_too_many_or_too_few(parts):
    """To within 1 - 1 / (2 n - 2), as Tijdeman proves, and exactly over the whole pattern."""
    pattern, total = fair_pattern(parts), sum(parts)
    bound = 1 - Fraction(1, 2 * len(parts) - 2) if len(parts) > 1 else 0
    counts = (pattern[:, np.newaxis] == np.arange(len(parts))).cumsum(axis=0)
    for row, found in enumerate(counts.tolist(), start=1):
        for count, part in zip(found, parts, strict=True):
            assert abs(count - Fraction(part * row, total)) <= bound
    assert counts[-1].tolist() == parts


def test_seven_and_three_in_ten():
    """In batches of four, 2.8 rows of the first set each: 3, 6, 8, 11 and 14 by then."""
    shares = Shares([70, 30])
    assert shares.parts == [7, 3]
    sets = shares.sets(np.arange(20)).reshape(5, 4)
    assert (sets == 0).sum(axis=1).tolist() == [3, 3, 2, 3, 3]


@given(PARTS, st.integers(0, 10_000))
def test_rows_and_counts_are_inverse(parts, index):
    shares = Shares(parts)
    for number in range(len(parts)):
        row = shares.row(number, index)
        assert shares.before(number, row) == index
        assert shares.sets(np.array([row])).tolist() == [number]
    rows = index + 1
    assert sum(shares.before(number, rows) for number in range(len(parts))) == rows


@given(st.lists(st.integers(1, 10**7), min_size=1, max_size=6))
def test_parts_are_in_proportion_to_records(records):
    parts, total = parts_of(records), sum(records)
    assert all(part >= 1 for part in parts)
    assert sum(parts) <= MOST_PARTS + len(parts)
    for part, count in zip(parts, records, strict=True):
        share = Fraction(part, sum(parts))
        assert abs(share - Fraction(count, total)) <= Fraction(len(parts), MOST_PARTS)


def test_small_proportions_are_exact():
    assert parts_of([1034, 517]) == [2, 1]
    assert parts_of([9_999, 1]) == [9_999, 1]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(1, 9), min_size=1, max_size=4),
    st.integers(1, 6),
    st.sampled_from([1, 2, 3]),
    st.lists(st.integers(1, 40), min_size=4, max_size=4),
    st.integers(0, 50),
)
def test_every_batch_is_full_and_every_record_is_there_once_a_pass(
    parts, a_replica, replicas, records, first
):
    """Whatever the replicas, and from whatever step on: the rows of a batch are those of its sets,
    each once, and the positions of a set go on by one.
    """
    shares, batch = Shares(parts), a_replica * replicas
    sets = [SetRows(shares, number, batch) for number in range(len(parts))]
    seen = [[] for _ in sets]
    for step in range(first, first + 20):
        together = [[], []]
        for replica in range(replicas):
            rows = []
            for each, count, positions in zip(sets, records, seen, strict=False):
                for of_pass, piece in each.pieces(step, ReplicaSlice(replica, 1, replicas), count):
                    positions += (of_pass * count + piece.positions).tolist()
                    rows += piece.rows.tolist()
                    assert (piece.share * batch == piece.weight).all()
                    one = each.piece(step, ReplicaSlice(replica, 1, replicas), count, of_pass)
                    assert (one.positions == piece.positions).all()
                    begins, ends = each.steps_of_pass(of_pass, count)
                    assert not len(piece.rows) or begins <= step < ends
            assert sorted(rows) == list(range(replica * a_replica, (replica + 1) * a_replica))
            together[0] += rows
        for each, count in zip(sets, records, strict=False):
            whole = each.pieces(step, ReplicaSlice(0, 1, 1), count)
            together[1] += [row for _, piece in whole for row in piece.rows.tolist()]
        assert sorted(together[0]) == sorted(together[1]) == list(range(batch))
    for each, count, positions in zip(sets, records, seen, strict=False):
        start = shares.before(each.number, first * batch)
        assert positions == list(range(start, start + len(positions)))
        assert each.pass_at(first, count) == start // count
