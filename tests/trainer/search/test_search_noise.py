"""Means, intervals, and which differences are noise."""

import math
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.search.noise import best_of, noise_of, summarise, t_quantile, within_noise
from trainer.search.search_run import FAILED, FINISHED, Run


def runs_of(values, **more):
    """Runs of points scale=0, 1, ... with the values of each, None = failed."""
    found = []
    for scale, mine in enumerate(values):
        for repeat, value in enumerate(mine):
            state = FINISHED if value is not None else FAILED
            params = {"model.scale": scale}
            found.append(Run(len(found), params, repeat, state, value=value, **more))
    return found


def points_of(values, greater=True, **more):
    params = [{"model.scale": scale} for scale in range(len(values))]
    return summarise(params, runs_of(values, **more), greater)


@pytest.mark.parametrize(
    ("share", "freedom", "expected"),
    [  # a printed table of Student's t
        (0.975, 1, 12.706),
        (0.975, 2, 4.303),
        (0.975, 3, 3.182),
        (0.975, 10, 2.228),
        (0.975, 24, 2.064),
        (0.995, 5, 4.032),
        (0.995, 30, 2.750),
        (0.95, 100, 1.660),
    ],
)
def test_quantiles_of_students_t_are_those_of_the_tables(share, freedom, expected):
    assert t_quantile(share, freedom) == pytest.approx(expected, abs=5e-4)


@given(st.integers(200, 400), st.floats(0.9, 0.999))
def test_with_much_freedom_students_t_is_the_normal_distribution(freedom, share):
    normal = statistics.NormalDist().inv_cdf(share)
    assert t_quantile(share, freedom) == pytest.approx(normal, rel=0.02)


def test_the_noise_is_pooled_over_the_points_and_makes_the_intervals():
    """Two points with 1, 3 and 10, 14: squares 2 and 8 about their means, 2 degrees of freedom:
    a run deviates by sqrt(10 / 2); half an interval is 4.3027 * sqrt(5) / sqrt(2) = 6.803.
    """
    noise = noise_of([(1.0, 3.0), (10.0, 14.0)], has_intervals=False)
    assert (noise.source, noise.freedom) == ("repeats", 2)
    assert noise.deviation == pytest.approx(math.sqrt(5))
    best, other = points_of([(1.0, 3.0), (10.0, 14.0)])
    assert (best.mean, other.mean) == (12.0, 2.0)
    assert best.interval == pytest.approx((12 - 6.8031, 12 + 6.8031), abs=1e-3)


def test_without_repeats_the_interval_of_the_records_counts_and_without_that_none():
    assert noise_of([(1.0,), (2.0,)], has_intervals=True).source == "records"
    assert noise_of([(1.0,), (2.0,)], has_intervals=False).source == "unknown"
    assert points_of([(0.5,)], interval=(0.4, 0.6))[0].interval == (0.4, 0.6)
    assert points_of([(0.5,)])[0].interval is None


def test_close_points_are_within_noise_and_far_ones_are_not():
    """Runs deviate by 0.1 with 3 degrees of freedom in each case: 0.01 apart is noise, 10 is not.
    The limit is t(1 - 0.05/4, 3) * 0.1 = 4.177 * 0.1.
    """
    values = [(5.0, 5.1414), (5.01, 5.1514), (15.0, 15.1414)]
    best, *others = points_of(values)
    assert best.params == {"model.scale": 2}
    noise = noise_of(values, has_intervals=False)
    assert noise.deviation == pytest.approx(0.1, abs=1e-4)
    assert within_noise(best, others, noise) == [False, False]
    near = points_of(values[:2])
    assert within_noise(near[0], near[1:], noise_of(values[:2], False)) == [True]


def test_by_the_records_alone_two_shares_are_compared_as_binomials():
    """Half widths 0.1: standard errors 0.051, of a difference 0.072; 1.96 of them are 0.141."""
    for apart, noise in ((0.13, True), (0.15, False)):
        best, other = (
            points_of([(value,)], interval=(value - 0.1, value + 0.1))[0]
            for value in (0.5 + apart, 0.5)
        )
        assert within_noise(best, [other], noise_of([(1.0,)], True)) == [noise]


def test_nothing_is_claimed_where_nothing_tells():
    best, other = points_of([(0.9,), (0.1,)])
    assert within_noise(best, [other], noise_of([(0.9,), (0.1,)], False)) == [None]


def test_a_point_with_a_failed_run_is_never_the_best():
    points = points_of([(0.9, None), (0.5, 0.5)])
    assert best_of(points).params == {"model.scale": 1}
    assert points[1].failed == 1 and points[1].mean == 0.9
    assert best_of(points_of([(None,), (None,)])) is None
    assert best_of([]) is None


def test_of_a_loss_the_least_is_best():
    assert points_of([(0.9,), (0.1,)], greater=False)[0].params == {"model.scale": 1}
