"""Which variants a follower builds and removes, for any course of a run."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from preprocess.follow.window import Window

SIZES = st.tuples(st.integers(1, 4), st.integers(1, 4), st.integers(1, 5))


def test_it_builds_the_current_pass_first_then_those_ahead():
    window = Window(stored=1, ahead=2, keep=3)
    assert window.next_to_build([], 5, None) == 5
    assert window.next_to_build([5, 7], 5, None) == 6
    assert window.next_to_build([5, 6, 7], 5, None) is None


def test_variants_of_the_dataset_and_those_after_the_last_pass_are_not_built():
    window = Window(stored=3, ahead=2, keep=3)
    assert window.wanted(0, None) == []  # 0, 1 and 2 are stored
    assert window.wanted(1, None) == [3]
    assert window.wanted(8, 9) == [8, 9]
    assert window.wanted(10, 9) == []  # all steps are done


def test_the_current_pass_and_those_before_it_are_kept():
    """keep 3 at pass 6: 4, 5 and 6; ahead 2: 7 and 8."""
    window = Window(stored=1, ahead=2, keep=3)
    assert window.to_remove(range(1, 10), [], 6) == [1, 2, 3, 9]


def test_what_a_run_that_reuses_is_reading_stays():
    """At pass 20 it reads 10, and may have chosen 15 for the next pass already."""
    window = Window(stored=1, ahead=2, keep=3)
    assert window.to_remove([5, 10, 15], [], 20, reading=10) == [5]
    assert window.to_remove([5, 10, 15], [7], 20) == [5, 7]  # not known: the two newest
    assert window.to_remove([5, 10, 12, 15], [], 20, reading=5) == [10]


def test_a_run_that_reads_the_variant_of_its_pass_needs_no_older_one():
    window = Window(stored=1, ahead=2, keep=3)
    assert window.to_remove([1, 2, 8, 9], [], 9, reading=9) == [1, 2]
    assert window.to_remove([1, 2], [], 9, reading=9) == [1]  # 9 is not there yet


def test_a_run_that_resumes_far_back_has_its_variants_built_again():
    window = Window(stored=1, ahead=2, keep=2)
    there = {7, 8, 9, 10}
    assert window.to_remove(there, [], 3) == [7, 8, 9, 10]
    assert window.next_to_build([], 3, None) == 3


@pytest.mark.parametrize("reuses", [False, True])
@given(sizes=SIZES, seed=st.integers(0, 2**32 - 1))
def test_there_are_never_more_than_keep_and_ahead_and_the_needed_one_comes(reuses, sizes, seed):
    """A follower that may be killed while it builds, of a run that moves as it likes, forwards a
    pass at a time or back to an older state; three more where it reads older variants.
    """
    stored, ahead, keep = sizes
    window, rng = Window(stored, ahead, keep), random.Random(seed)
    there: set[int] = set()
    started: set[int] = set()
    at = 0
    for _ in range(60):
        at = rng.choice([at, at + 1, at + 1, at + 2, max(0, at - rng.randrange(6))])
        older = [v for v in there if v <= at]
        reading = rng.choice([*older, None]) if reuses else at
        removed = window.to_remove(there, started, at, reading)
        assert reading not in removed
        assert not set(removed) & set(range(max(0, at - keep + 1), at + ahead + 1))
        there -= set(removed)
        started -= set(removed)
        building = window.next_to_build(there, at, None)
        if building is None:
            assert at < stored or at in there
            continue
        assert building >= stored
        started.add(building)
        assert len(there | started) <= keep + ahead + 3 * reuses
        if rng.random() < 0.7:  # else it is killed
            started.discard(building)
            there.add(building)


@given(SIZES, st.integers(0, 30))
def test_a_run_that_stands_still_gets_all_it_wants(sizes, at):
    stored, ahead, keep = sizes
    window, there = Window(stored, ahead, keep), set()
    for _ in range(ahead + 1):
        if (building := window.next_to_build(there, at, None)) is not None:
            there.add(building)
    assert there == {v for v in range(at, at + ahead + 1) if v >= stored}
