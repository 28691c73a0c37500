"""The verdict of a run by what its loop has timed."""

import pytest

from tests.trainer.explanations import by_loop

KINDS = {
    "Input-bound": "input",
    "Slightly input-bound": "input",
    "Compute-bound": "compute",
    "Overhead-bound": "overhead",
}


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
        ([None, None], [0.0, 0.0], "input wait was not measured: batches were taken", None),
        ([None], [None], "step was not measured: no call came after the first", None),
        ([], [], "step was not measured: no call came after the first", None),
    ],
)
def test_the_verdict_goes_by_the_means_after_the_first_epoch(waits, hosts, word, stage):
    found = by_loop(rows(waits, hosts))
    assert word in found["verdict"]
    assert found["source"] == "loop"
    assert found["stage"] == stage
    assert found["kind"] == KINDS.get(word.split(":")[0], "unknown")
    assert found["shares"] is found["input_tax"] is None
    (advice,) = found["advice"]
    assert ("trainer diagnose" in advice) == (stage is None)
    assert ("steps_per_execution" in advice) == (stage == "host_overhead")


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
    found = by_loop(waits(*epochs))
    assert words in found["verdict"]
    assert ("one worker" in found["verdict"]) == bool(words)
    assert (found["kind"] == "input_one_worker") == bool(words)
    assert found["stage"] is None
    assert ("compare worker" in found["advice"][0]) == bool(words)
    assert ("--local_workers=" in found["advice"][0]) == (not words and len(epochs[-1]) > 1)
    assert any("diagnose` on every worker" in each for each in found["advice"]) == bool(words)
