"""Speed as the loop sees it, and the sentence about it."""

import pytest

from trainer.timing import StepClock, verdict


def test_the_first_call_of_a_process_is_left_out():
    """It traces. Then 4 steps of 3 pictures in 2 s, 0.5 s of it waiting."""
    clock = StepClock()
    clock.add(1, 100.0, 90.0)
    clock.add(2, 1.0, 0.5)
    clock.add(2, 1.0, 0.0)
    found = clock.figures(3)
    assert found["images_per_second"] == pytest.approx(6)
    assert found["step_ms"] == pytest.approx(500)
    assert found["input_wait_fraction"] == pytest.approx(0.25)


def test_an_epoch_has_figures_of_its_own_and_the_second_one_leaves_no_call_out():
    clock = StepClock()
    clock.add(1, 100.0, 0.0)
    assert set(clock.figures(3).values()) == {None}
    clock.restart()
    clock.add(1, 0.5, 0.1)
    assert clock.figures(1)["images_per_second"] == pytest.approx(2)


def test_where_several_steps_run_in_a_call_the_wait_is_unknown():
    clock = StepClock(measures_waiting=False)
    clock.add(3, 1.0, 0.0)
    clock.add(3, 1.0, 0.0)
    assert clock.figures(1)["input_wait_fraction"] is None


@pytest.mark.parametrize(
    ("waits", "word"),
    [
        ([0.9, 0.01, 0.01], "Compute-bound: 1.0%"),
        ([0.0, 0.4, 0.6], "Input-bound: 50.0%"),
        ([0.1], "Slightly input-bound: 10.0%"),
        ([None, None], "not measured"),
        ([], "not measured"),
    ],
)
def test_the_verdict_goes_by_the_mean_wait_after_the_first_epoch(waits, word):
    found = verdict([{"input_wait_fraction": wait} for wait in waits])
    assert word in found["verdict"]
    assert found["source"] == "loop"
    assert found["stage"] is found["shares"] is found["input_tax"] is None
    assert bool(found["advice"]) == found["verdict"].startswith("Input-bound")
