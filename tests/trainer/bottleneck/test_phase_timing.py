"""How phases are timed, by a clock that stands still until something passes."""

import itertools

import pytest

from trainer.bottleneck.phases import phase_timing
from trainer.bottleneck.phases.phase_timing import PhaseTimings, time_elements, time_in_turn


@pytest.fixture
def clock(monkeypatch):
    """Its `seconds` pass when a test adds to them; the processor works half of the time."""

    class Clock:
        seconds = 0.0

    stand = Clock()
    monkeypatch.setattr(phase_timing.time, "perf_counter", lambda: stand.seconds)
    monkeypatch.setattr(phase_timing.time, "process_time", lambda: stand.seconds / 2)
    return stand


def test_phases_take_turns_so_that_a_slow_minute_meets_all_of_them():
    calls = []
    numbers = itertools.count(1)

    def phase(name):
        calls.append(name)
        return next(numbers), 0.5

    timings = PhaseTimings()
    phases = {name: lambda name=name: phase(name) for name in ("input decode", "step")}
    time_in_turn(timings, phases, 3)
    assert calls == ["input decode", "step"] * 3
    assert timings.timing("input decode").seconds == (1, 3, 5)
    assert timings.timing("step").cpu_seconds == (0.5, 0.5, 0.5)
    assert timings.names("input ") == ["input decode"]


def elements(clock, *seconds):
    """Each comes after so many seconds; the last of them again and again."""
    for each in itertools.chain(seconds, itertools.repeat(seconds[-1])):
        clock.seconds += each
        yield 4


def test_what_was_prepared_before_does_not_count(clock):
    """Of 1 s, 0.35 are warm-up: three elements that are there at once, then 0.1 s each, four of
    which end it at 0.4 s. After these, eight elements at least: 0.8 s, which is more than 0.65.
    """
    seconds, cpu, size = time_elements(elements(clock, 0.0, 0.0, 0.0, 0.1), lambda n: n, 1.0)
    assert (seconds, cpu, size) == (pytest.approx(0.8), pytest.approx(0.4), 32)


def test_elements_that_take_very_long_end_the_measurement(clock):
    """25 s each: the first is the warm-up, and one more is enough."""
    assert time_elements(elements(clock, 25.0), lambda n: n, 1.0) == (25.0, 12.5, 4)
