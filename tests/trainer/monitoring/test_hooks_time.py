"""Monitoring is nearly free: a quick version of the benchmark of its hooks."""

from tests.benchmarks.bench_hooks import (
    BAR_SECONDS,
    SHORT_SECONDS,
    measure,
    timeline_of_a_short_step,
)


def test_all_hooks_together_take_less_than_one_per_cent_of_a_step_of_50_ms():
    """About 30 microseconds, most of them for what is written and drawn now and then; the bar is
    500. In a long epoch too, whose percentiles alone would take longer.
    """
    found = measure(calls=400, rounds=3)
    assert len(found) == 12
    assert all(
        seconds > 0 for name, seconds in found.items() if "written" in name or "NVML" in name
    )
    assert sum(found.values()) < BAR_SECONDS, found
    # A third of a microsecond of a step of 1 ms; `make bench` asks for one, a busy machine may not.
    assert 0 < timeline_of_a_short_step(found) < 0.01 * SHORT_SECONDS, found
