"""Speed as the loop sees it, and the sentence about it."""

import pytest

from trainer import timing
from trainer.timing import HOST, STEP, WAIT, StepClock, verdict


@pytest.fixture
def now(monkeypatch):
    """A clock that stands still until `pass_(seconds)`."""

    class Now:
        seconds = 1000.0

        def pass_(self, seconds):
            self.seconds += seconds

    found = Now()
    monkeypatch.setattr(timing.time, "perf_counter", lambda: found.seconds)
    return found


def call(clock, now, steps, wait=0.0, step=0.0, host=0.0):
    for part, seconds in ((WAIT, wait), (STEP, step), (HOST, host)):
        now.pass_(seconds)
        clock.lap(part)
    return clock.end(steps)


def test_the_first_call_of_a_process_is_left_out(now):
    """It traces. Then 4 steps of 3 pictures in 2 s on 2 replicas, of which 0.5 s waiting and 0.1 s
    in Python; 1.2 s went by before the second call, in saving.
    """
    clock = StepClock()
    clock.start()
    assert call(clock, now, 1, wait=90, step=10) == pytest.approx(100)
    now.pass_(1.2)
    clock.start()
    assert call(clock, now, 2, wait=0.5, step=0.7) == pytest.approx(1.2)
    assert call(clock, now, 2, step=0.7, host=0.1) == pytest.approx(0.8)
    found = clock.figures(3, 2)
    assert found["images_per_second"] == pytest.approx(6)
    assert found["images_per_second_per_replica"] == pytest.approx(3)
    assert found["step_ms"] == pytest.approx(500)
    assert found["input_wait_fraction"] == pytest.approx(0.25)
    assert found["host_fraction"] == pytest.approx(0.05)


def test_percentiles_are_of_calls_over_their_steps(now):
    """100 calls of 1 to 100 ms, two steps each: the median between 25 and 25.5 ms a step."""
    clock = StepClock()
    clock.start()
    call(clock, now, 1, step=9)
    for milliseconds in range(1, 101):
        call(clock, now, 2, step=milliseconds / 1000)
    found = clock.figures(1, 1)
    assert found["step_ms_p50"] == pytest.approx(25.25)
    assert found["step_ms_p90"] == pytest.approx(45.05)
    assert found["step_ms_p99"] == pytest.approx(49.505)


def test_an_epoch_has_figures_of_its_own_and_the_second_one_leaves_no_call_out(now):
    clock = StepClock()
    clock.start()
    call(clock, now, 1, step=100)
    assert set(clock.figures(3, 1).values()) == {None}
    clock.restart()
    call(clock, now, 1, wait=0.1, step=0.4)
    assert clock.figures(1, 1)["images_per_second"] == pytest.approx(2)


def test_where_several_steps_run_in_a_call_the_wait_is_unknown(now):
    clock = StepClock(measures_waiting=False)
    clock.start()
    call(clock, now, 3, step=1)
    call(clock, now, 3, step=0.9, host=0.1)
    assert clock.figures(1, 1)["input_wait_fraction"] is None
    assert clock.figures(1, 1)["host_fraction"] == pytest.approx(0.1)


def rows(waits, hosts):
    return [
        {"input_wait_fraction": wait, "host_fraction": host}
        for wait, host in zip(waits, hosts, strict=True)
    ]


@pytest.mark.parametrize(
    ("waits", "hosts", "word", "stage"),
    [
        ([0.9, 0.01, 0.01], [0.0, 0.0, 0.0], "Compute-bound: 1.0%", None),
        ([0.0, 0.4, 0.6], [0.0, 0.0, 0.0], "Input-bound: 50.0%", None),
        ([0.1], [0.0], "Slightly input-bound: 10.0%", None),
        ([0.05], [0.0], "Slightly input-bound: 5.0%", None),
        ([0.049], [0.0], "Compute-bound: 4.9%", None),
        ([0.2], [0.19], "Input-bound: 20.0%", None),
        ([0.199], [0.0], "Slightly input-bound: 19.9%", None),
        ([0.0], [0.15], "Overhead-bound: 15.0%", "host_overhead"),
        ([0.0], [0.149], "Compute-bound: 0.0%", None),
        ([None, None], [0.3, 0.3], "Overhead-bound: 30.0%", "host_overhead"),
        ([None, None], [0.0, 0.0], "not measured", None),
        ([], [], "not measured", None),
    ],
)
def test_the_verdict_goes_by_the_means_after_the_first_epoch(waits, hosts, word, stage):
    found = verdict(rows(waits, hosts))
    assert word in found["verdict"]
    assert found["source"] == "loop"
    assert found["stage"] == stage
    assert found["shares"] is found["input_tax"] is None
    assert bool(found["advice"]) == found["verdict"].startswith(("Input-bound", "Overhead-bound"))


def waits(*epochs):
    """Rows of as many epochs; the first worker's own figures say that the step is the limit."""
    return [
        {"input_wait_fraction": 0.0, "host_fraction": 0.0, "worker_input_wait_fractions": [*each]}
        for each in epochs
    ]


@pytest.mark.parametrize(
    ("epochs", "words"),
    [
        # The first epoch counts only where it is alone; then means: 0.6 and 0.66 are 0.63.
        (
            [(0.9, 0.0), (0.01, 0.6), (0.01, 0.66)],
            "worker 1 waits 63% of its time for input, the others at most 1%: all wait for it.",
        ),
        ([(0.5, 0.03, 0.04)], "worker 0 waits 50% of its time for input, the others at most 4%"),
        # 0.20 above the median of the others, 0.125, is the least.
        ([(0.125, 0.325, 0.125)], "worker 1 waits 32%"),
        ([(0.125, 0.375, 0.125)], "worker 1 waits 38%"),
        ([(0.125, 0.3125, 0.125)], ""),
        ([(0.4, 0.4)], ""),
        # One other that waits too does not hide the first: the median of 0.3, 0, 0 is 0.
        ([(0.3, 0.9, 0.0, 0.0)], "waits 90% of its time for input, the others at most 30%"),
        ([(None, 0.9)], ""),
        # Of another number of workers, before a restart.
        ([(0.0, 0.0), (0.0, 0.9), (0.0, 0.0, 0.0)], ""),
        ([(0.0, 0.0, 0.0), (0.0, 0.9, 0.0), (0.0, 0.5)], "worker 1 waits 50%"),
    ],
)  # fmt: skip
def test_a_worker_that_waits_more_than_the_others_is_named(epochs, words):
    found = verdict(waits(*epochs))
    assert words in found["verdict"]
    assert ("one worker" in found["verdict"]) == bool(words)
    assert found["stage"] is None
    assert bool(found["advice"]) == bool(words)
