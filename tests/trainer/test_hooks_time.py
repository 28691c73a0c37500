"""Monitoring is nearly free: a quick version of the benchmark of its hooks."""

from tests.benchmarks.bench_hooks import BAR_SECONDS, measure


def test_all_hooks_together_take_less_than_one_per_cent_of_a_step_of_50_ms():
    """About 120 microseconds, most of them for writing a file once a second; the bar is 500."""
    found = measure(calls=400, rounds=3)
    assert len(found) == 9
    assert all(
        seconds > 0 for name, seconds in found.items() if "written" in name or "NVML" in name
    )
    assert sum(found.values()) < BAR_SECONDS, found
