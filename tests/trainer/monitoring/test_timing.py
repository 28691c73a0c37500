"""Speed as the loop sees it."""

import pytest

from trainer.monitoring import timing
from trainer.monitoring.timing import HOST, MEANS, SPREAD, STEP, WAIT, StepClock


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


def device_run(clock, now, *, input, buffer, device=0.010, host=0.0, calls=200, first=0.0):
    """`calls` on a device that works on after a call has returned, a look at it every 20 calls.

    Args:
      clock: of the loop.
      now: the time, which this sets.
      input: seconds that a batch is in the making, one after another.
      buffer: batches that wait at most; at the beginning so many are there.
      device: seconds of a step.
      host: seconds of Python before each call.
      calls: how many.
      first: seconds that the first batch is late.
    """
    clock.start()
    call(clock, now, 1, step=1)  # the one that compiles
    clock.start()
    begin = now.seconds
    ready, taken, busy_until = [begin + first] * buffer, [], begin
    for number in range(calls):
        if number >= buffer:
            ready.append(max(ready[number - 1], taken[number - buffer]) + input)
        now.pass_(host)
        clock.lap(HOST)
        now.pass_(max(0.0, ready[number] - now.seconds))
        clock.lap(WAIT)
        taken.append(now.seconds)
        busy_until = max(busy_until, now.seconds) + device
        clock.lap(STEP)
        if (number + 1) % 20 == 0:
            now.pass_(max(0.0, busy_until - now.seconds))
            clock.caught_up()
        clock.end(1)
    return clock.figures(1, 1)


def test_waiting_behind_a_busy_device_held_nothing_up(now):
    """The device never waits: 6 batches are there, one more comes each 8 ms, a step takes 10 ms.

    Of 20 steps, 200 ms, the host waits 14 * 8 = 112 ms, while the device works.
    """
    found = device_run(StepClock(), now, input=0.008, buffer=6)
    assert found["step_ms"] == pytest.approx(10)
    assert found["input_wait_fraction"] == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(("input", "share"), [(0.0125, 0.2), (0.020, 0.5)])
def test_waiting_counts_as_far_as_the_device_was_idle(now, input, share):
    """Steps of 10 ms, batches each 12.5 or 20 ms: idle for a fifth or a half of the time, while
    the host waits for nearly all of it. Six batches of 2,000 are there at first: up to 0.3 % less.
    """
    found = device_run(StepClock(), now, input=input, buffer=6, calls=2000)
    assert found["step_ms"] == pytest.approx(1000 * input, rel=0.01)
    assert found["input_wait_fraction"] == pytest.approx(share, abs=0.01)


def test_one_long_wait_counts_though_the_device_is_behind_at_the_end(now):
    """500 ms without a batch, then 20 at once: 200 ms of steps, of which 0.5 / 0.7 was waited."""
    found = device_run(StepClock(), now, input=0.0, buffer=20, calls=20, first=0.5)
    assert found["input_wait_fraction"] == pytest.approx(0.5 / 0.7)


def test_python_behind_a_busy_device_held_nothing_up_either(now):
    """20 steps of 10 ms behind 4 ms of Python each: the device waits for the first call alone, 4 of
    204 ms. Behind 15 ms each: 20 * 15 + 10 ms pass, of which it works 200.
    """
    found = device_run(StepClock(), now, input=0.0, buffer=1, host=0.004)
    assert found["host_fraction"] == pytest.approx(4 / 204)
    found = device_run(StepClock(), now, input=0.0, buffer=1, host=0.015)
    assert found["host_fraction"] == pytest.approx(110 / 310)


@pytest.mark.parametrize(("lap", "hidden"), [(0.0199, False), (0.0201, True)])
def test_where_nothing_was_left_to_catch_up_with_waits_stay_what_they_were(now, lap, hidden):
    """Calls that return when they are done, as on a CPU, the last of them a slow one.

    4 calls, each after 0.01 s of waiting, of 0.01 s, the last one of 0.91 s; then a lap that is
    0.0199 or 0.0201 of all. Were the calls to return at once, the steps of up to
    (0.98 + lap) / 4 each could have taken all of the time after the first wait.
    """
    clock = StepClock()
    clock.start()
    call(clock, now, 1, step=1)
    for seconds in (0.01, 0.01, 0.01, 0.91):
        now.pass_(0.01)
        clock.lap(WAIT)
        now.pass_(seconds)
        clock.lap(STEP)
        if seconds == 0.91:
            now.pass_(0.98 * lap / (1 - lap))
            clock.caught_up()
        clock.end(1)
    total = 0.98 / (1 - lap)
    waited = clock.figures(1, 1)["input_wait_fraction"] * total
    assert waited == pytest.approx(0.01 if hidden else 0.04)


def test_a_pause_between_calls_is_no_part_of_what_a_device_caught_up_with(now):
    """Saving for 5 s, after which the device has nothing to do: as if it had not been."""
    clock = StepClock()
    found = []
    for pause in (0.0, 5.0):
        clock.restart()
        clock.start()
        call(clock, now, 1, wait=0.1, step=0.1)
        now.pass_(pause)
        clock.start()
        now.pass_(0.1)
        clock.lap(WAIT)
        now.pass_(0.1)
        clock.caught_up()
        clock.end(1)
        found.append(clock.figures(1, 1)["input_wait_fraction"])
    assert found == pytest.approx([0.5, 0.5])


def test_means_are_the_figures_without_percentiles(now):
    clock = StepClock()
    clock.start()
    assert set(clock.means(3, 2).values()) == {None}
    call(clock, now, 1, step=1)
    call(clock, now, 1, wait=0.1, step=0.3)
    means, figures = clock.means(3, 2), clock.figures(3, 2)
    assert means == {name: figures[name] for name in MEANS}
    assert set(figures) == {*MEANS, *SPREAD} > set(MEANS)
