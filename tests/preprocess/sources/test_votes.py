"""Votes are shares, percentages or counts; the whole table decides."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from preprocess.sources import votes
from preprocess.sources.numbers import number
from preprocess.sources.refusals import Refused


def shares(*rows):
    kinds = votes.Kinds()
    parsed = [votes.parsed(*row) for row in rows]
    for row in parsed:
        kinds.add(row)
    return kinds.decided, [votes.as_shares(row, kinds.decided) for row in parsed]


@pytest.mark.parametrize(
    ("cell", "value"),
    [("0.5", 0.5), ("0,5", 0.5), ("66.67%", 66.67), ("66,67 %", 66.67), (" 3 ", 3), ("1e-1", 0.1)],
)
def test_numbers_as_tables_have_them(cell, value):
    assert number(cell) == value


@pytest.mark.parametrize("cell", ["", "%", "1,2,3", "1.000,5", "x", "0,5,"])
def test_what_is_no_number_is_none(cell):
    with pytest.raises(ValueError, match="could not convert"):
        number(cell)


@pytest.mark.parametrize(
    ("rows", "kind", "expected"),
    [
        ([("0.5", "0.25", "0.25")], votes.SHARES, (0.5, 0.25, 0.25)),
        ([("0,5", "0,25", "0,25")], votes.SHARES, (0.5, 0.25, 0.25)),
        ([("1", "0", "0")] * 2, votes.SHARES, (1, 0, 0)),
        ([("50", "25", "25")], votes.PERCENTAGES, (0.5, 0.25, 0.25)),
        ([("66.67%", "16.67%", "16.66%")], votes.PERCENTAGES, (0.6667, 0.1667, 0.1666)),
        ([("4", "1", "1")], votes.COUNTS, (4 / 6, 1 / 6, 1 / 6)),
        ([("3", "2", "1"), ("6", "0", "0"), ("1", "0", "0")], votes.COUNTS, (0.5, 2 / 6, 1 / 6)),
    ],
)
def test_what_the_votes_are_is_recognised(rows, kind, expected):
    decided, found = shares(*rows)
    assert decided == kind
    assert found[0] == pytest.approx(expected)


def test_a_half_of_counted_votes_is_no_majority():
    """3 of 6 is 0.5 and not a bit more: triplets count as agreed on above 0.5."""
    assert shares(("3", "2", "1"))[1][0][0] == 0.5
    assert shares(("50", "33.3333", "16.6666"))[1][0][0] == 0.5


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([("0.5", "0.25", "0.25")] * 2 + [("4", "1", "1")], "sum to 6, not 1"),
        ([("50", "25", "25")] * 2 + [("4", "1", "1")], "sum to 6, not 100"),
        ([("4", "1", "1")] * 2 + [("0.5", "0.25", "0.25")], "are not counts, as in most rows"),
        ([("4", "1", "1")] * 2 + [("0", "0", "0")], "are not counts"),
        ([("0.2", "0.2", "0.2")], "sum to 0.6, not 1"),
    ],
)
def test_a_row_of_another_kind_than_most_is_refused(rows, message):
    with pytest.raises(Refused, match=message):
        shares(*rows)


@given(st.lists(st.tuples(*[st.integers(0, 12)] * 3).filter(sum), min_size=1, max_size=20))
def test_whatever_is_taken_sums_to_one(rows):
    kinds = votes.Kinds()
    parsed = [votes.parsed(*map(str, row)) for row in rows]
    for row in parsed:
        kinds.add(row)
    for row in parsed:
        try:
            found = votes.as_shares(row, kinds.decided)
        except Refused:
            assert kinds.decided not in votes.kinds(row)
            continue
        assert sum(found) == pytest.approx(1)
