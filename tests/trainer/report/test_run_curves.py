"""How alike the curves of runs are: correlations by hand, and where there are none."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.report.correlation import pearson, rank_correlation
from trainer.report.run_curves import (
    correlation_of,
    correlations_in_words,
    curve_correlations,
    curve_of,
)
from trainer.training.recorded_curves import recorded_curves

RISING = {1: 0.1, 2: 0.2, 3: 0.4, 4: 0.4}
CONSTANT = dict.fromkeys(range(1, 5), 0.5)


def test_the_correlation_of_a_few_numbers_is_that_by_hand():
    """1, 2, 3 less 2 and 1, 3, 2 less 2: (-1 0 1) and (-1 1 0): 1 / sqrt(2 * 2)."""
    assert pearson([1, 2, 3], [1, 3, 2]) == pytest.approx(0.5)
    assert pearson([1, 2, 3], [10, 30, 50]) == pytest.approx(1)
    assert pearson([1, 2, 3], [3, 2, 1]) == pytest.approx(-1)


@given(
    st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=3, max_size=30).filter(
        lambda pairs: all(np.ptp(column) > 1e-3 for column in zip(*pairs, strict=True))
    )
)
def test_the_correlation_is_that_of_numpy(pairs):
    first, second = zip(*pairs, strict=True)
    assert pearson(first, second) == pytest.approx(np.corrcoef(first, second)[0, 1], abs=1e-9)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ([0.1] * 4, [1, 2, 3, 4]),  # whose mean is not quite 0.1
        ([1, 2, 3, 4], [0.7] * 4),
        ([1, 2], [1, 2]),  # of two, every correlation is 1 or -1
        ([], []),
    ],
)
def test_a_constant_or_too_few_numbers_have_no_correlation(first, second):
    assert pearson(first, second) is None


def test_tiny_deviations_correlate_as_large_ones():
    assert pearson([0, 1e-200, 3e-200], [0, 2e-170, 6e-170]) == pytest.approx(1)


def test_equal_numbers_share_their_mean_rank():
    """Ranks 1, 2.5, 2.5, 4 and 1, 2, 3, 4 less 2.5: (-1.5 0 0 1.5) and (-1.5 -0.5 0.5 1.5):
    4.5 / sqrt(4.5 * 5).
    """
    assert rank_correlation([1, 7, 7, 9], [0, 1, 10, 1000]) == pytest.approx(4.5 / 22.5**0.5)
    assert rank_correlation([5, 5, 5], [1, 2, 3]) is None


def test_epochs_that_only_one_run_has_are_left_out():
    """Epochs 2 to 4 of RISING: 0.2, 0.4, 0.4, with 3, 5, 5 at the same epochs."""
    assert correlation_of(RISING, {2: 3, 3: 5, 4: 5, 5: -9, 1.5: -9}) == pytest.approx(1)
    assert correlation_of(RISING, {3: 1, 4: 2, 9: 3}) is None
    assert correlation_of(RISING, CONSTANT) is None


def test_the_later_half_leaves_the_rise_out():
    """Of epochs 1 to 6 it is 4 to 6: opposite there, though both rose."""
    first = dict(enumerate([0, 5, 9, 10, 11, 12], 1))
    second = dict(enumerate([0, 5, 9, 12, 11, 10], 1))
    assert correlation_of(first, second) > 0.9
    assert correlation_of(first, second, later_half=True) == pytest.approx(-1)
    # Of 1 to 5 it is 3 to 5, the larger half.
    first.pop(6), second.pop(6)
    assert correlation_of(first, second, later_half=True) == pytest.approx(
        pearson([9, 10, 11], [9, 12, 11])
    )


def test_a_curve_is_the_finite_numbers_of_its_column():
    rows = [
        {"epoch": 1, "val_accuracy": 0.5},
        {"epoch": 1.5, "val_accuracy": 0.6},
        {"epoch": 2, "loss": 1.0},
        {"epoch": 3, "val_accuracy": None},
        {"epoch": 4, "val_accuracy": float("nan")},
    ]
    assert curve_of(rows, "val_accuracy") == {1.0: 0.5, 1.5: 0.6}


def test_the_median_and_the_range_are_over_all_pairs():
    """Three curves over 1, 2, 3: r(a, b) = 0.5 and r(a, c) = -1, so r(b, c) = -0.5."""
    curves = [dict(enumerate(values)) for values in ([1, 2, 3], [1, 3, 2], [3, 2, 1])]
    found = curve_correlations(curves, "val_accuracy")
    assert (found["runs"], found["pairs"]) == (3, 3)
    assert found["all_epochs"]["median"] == pytest.approx(-0.5)
    assert found["all_epochs"]["range"] == pytest.approx([-1, 0.5])
    assert found["later_half"] == {"median": None, "range": None, "undefined": 3}
    assert json.loads(json.dumps(found)) == found
    line = correlations_in_words(found)
    assert "3 runs correlate over all epochs by -0.500 (median; -1.000 to 0.500)" in line
    assert "over the later half by undefined (fewer than 3 epochs in common" in line


def test_pairs_without_a_correlation_are_counted_and_said():
    other = {1: 0.1, 2: 0.3, 3: 0.3, 4: 0.5}
    found = curve_correlations([RISING, CONSTANT, other], "val_accuracy")
    assert found["all_epochs"]["undefined"] == 2
    assert found["all_epochs"]["median"] == correlation_of(RISING, other)
    assert "undefined for 2 of 3 pairs: fewer than 3 epochs" in correlations_in_words(found)
    both = curve_correlations([CONSTANT, CONSTANT], "val_accuracy")
    assert "2 runs have no correlation (fewer than 3 epochs" in correlations_in_words(both)


def test_one_run_has_nothing_to_correlate_with():
    assert correlations_in_words(curve_correlations([RISING], "val_accuracy")) == ""
    assert correlations_in_words(curve_correlations([], "val_accuracy")) == ""


def test_curves_are_read_from_run_directories_that_have_one(tmp_path):
    for name, text in (
        ("a", '{"epoch": 1, "val_loss": 2.0}\n{"epoch": 2, "val_loss": 1.0}\n{"epo'),
        ("b", '{"epoch": 1, "loss": 2.0}\n'),
        ("c", '["no row"]\n'),
    ):
        (tmp_path / name).mkdir()
        (tmp_path / name / "metrics.jsonl").write_text(text)
    paths = [tmp_path / name for name in ("a", "b", "c", "not there")]
    assert recorded_curves(paths, "val_loss") == [{1.0: 2.0, 2.0: 1.0}]
