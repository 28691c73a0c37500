"""Distances, and the nearest of many."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from trainer.inference.neighbours import Nearest, distances
from trainer.inference.serving import Item
from trainer.tasks.task import COSINE, SQUARED


def test_distances_by_hand():
    """From (1, 0): to (4, 4) squared 9 + 16; the cosine of 45 degrees is 1/sqrt(2)."""
    rows = np.array([[1.0, 0], [4, 4], [-2, 0], [0, 0]])
    query = np.array([1.0, 0])
    np.testing.assert_allclose(distances(query, rows, SQUARED), [0, 25, 9, 1])
    np.testing.assert_allclose(distances(query, rows, COSINE), [0, 1 - 0.5**0.5, 2, 1], atol=1e-12)


@given(
    rows=st.lists(
        st.tuples(st.integers(-3, 3), st.integers(-3, 3)).map(np.float32), min_size=1, max_size=40
    ),
    count=st.integers(1, 12),
    size=st.integers(1, 9),
    metric=st.sampled_from([SQUARED, COSINE]),
)
def test_the_nearest_shown_in_batches_are_those_of_a_full_sort(rows, count, size, metric):
    """Small integers make many ties, which go by the order of coming."""
    query, rows = np.float32([1, 2]), np.array(rows)
    nearest = Nearest(query, metric, count)
    for start in range(0, len(rows), size):
        numbers = list(range(start, min(start + size, len(rows))))
        nearest.show([Item(str(n), None) for n in numbers], rows[numbers], numbers)
    each = distances(query, rows, metric)
    expected = np.argsort(each, kind="stable")[:count]
    found = nearest.found()
    assert [neighbour.number for neighbour in found] == expected.tolist()
    assert [neighbour.item.id for neighbour in found] == [str(n) for n in expected]
    assert [neighbour.distance for neighbour in found] == each[expected].tolist()


def test_nothing_shown_gives_nothing():
    nearest = Nearest(np.zeros(2), SQUARED, 3)
    nearest.show([], np.zeros((0, 2)), [])
    assert nearest.found() == []
