"""What a trace adds to what the loop of its run measured."""

from __future__ import annotations

import dataclasses
import math

import pytest

from tests.trainer.explanations import by_both, by_loop, by_trace, explanation, row
from trainer.bottleneck import sentences
from trainer.bottleneck.bottleneck import Kind
from trainer.bottleneck.evidence import StepIsTheLimit
from trainer.bottleneck.loop_verdict import loop_verdict
from trainer.bottleneck.trace import refined
from trainer.bottleneck.trace.trace_rules import trace_advice


def test_a_trace_adds_the_stage_to_what_the_loop_measured():
    rows = [row(0.4)]
    loop = by_loop(rows)
    found = by_both(rows, explanation(input=0.5))
    assert (found["kind"], found["stage"], found["source"]) == ("input", "decode", "profile")
    assert found["verdict"] == f"{loop['verdict']} In its trace the input waits for decode."
    traced = [sentences.advice_line(advice) for advice in trace_advice(explanation(input=0.5))]
    assert found["advice"] == [*traced, *loop["advice"]]
    found = by_both([row(0.01)], explanation(input=0.02))
    assert (found["kind"], found["stage"], found["source"]) == ("compute", "model", "profile")
    assert found["verdict"].startswith("Compute-bound: 1.0%")
    assert found["verdict"].endswith("in its trace is model, 98.0%.")


@pytest.mark.parametrize(
    ("rows", "traced"),
    [
        ([row(0.4)], explanation(input=0.02)),
        ([row(0.02)], explanation(input=0.4)),
        ([{"input_wait_fraction": 0.0, "host_fraction": 0.5}], explanation(input=0.02)),
        ([row(0.4)], None),
        ([row(0.4)], dataclasses.replace(explanation(), steps=0, split=None, step_ms=None)),
    ],
)
def test_the_loops_verdict_stands_where_the_trace_has_nothing_to_add(rows, traced):
    """It saw another time, or nothing, or the loop itself knows the stage."""
    assert refined(loop_verdict(rows), traced) == loop_verdict(rows)


def test_what_the_loop_could_not_measure_the_trace_tells():
    rows, traced = [{"input_wait_fraction": None}], explanation(input=0.4)
    loop, own = by_loop(rows), by_trace(traced)
    assert loop["kind"] == "unknown"
    assert by_both(rows, traced) == {**own, "advice": own["advice"] + loop["advice"]}


@pytest.mark.parametrize(("measured", "traced"), [(0.4, 0.05), (0.4, 0.19), (0.05, 0.2)])
def test_where_one_sees_much_waiting_and_the_other_some_the_stage_is_known(measured, traced):
    """5 % are some, 20 % are much; of a GPU the trace alone counts."""
    rows = [row(measured)]
    found = by_both(rows, explanation(input=traced))
    assert (found["kind"], found["stage"]) == ("input", "decode")
    loop = by_loop(rows)["verdict"]
    assert found["verdict"] == f"{loop} In its trace the input waits for decode."
    assert (found["shares"] is None) == (traced < 0.2)  # they are those of the trace's steps
    on_gpu = explanation("GPU", input=traced)
    assert by_both(rows, on_gpu)["verdict"] == by_trace(on_gpu)["verdict"]


@pytest.mark.parametrize("waits", [(0.4, 0.02), (0.02, 0.4)])
@pytest.mark.parametrize("hardware", ["CPU_ONLY", "GPU"])
def test_of_a_gpu_the_trace_knows_better(hardware, waits):
    """(what the loop measured, what the trace shows): on a CPU the loop, which saw all steps."""
    rows, traced = [row(waits[0])], explanation(hardware, input=waits[1])
    found, loop, own = by_both(rows, traced), by_loop(rows), by_trace(traced)
    if hardware == "CPU_ONLY":
        assert found == loop
    else:
        assert found == {**own, "advice": own["advice"] + loop["advice"]}


def test_what_the_loop_knows_of_another_worker_a_trace_of_the_first_does_not_deny():
    loop = loop_verdict([{**row(0.02), "worker_input_wait_fractions": [0.02, 0.7]}])
    assert loop.kind is Kind.INPUT_ONE_WORKER
    assert "worker 1 waits 70%" in sentences.verdict(loop)
    assert refined(loop, explanation("GPU", input=0.02)) == loop


@pytest.mark.parametrize(("call_ms", "other"), [(74.9, False), (75.0, True), (math.nan, False)])
@pytest.mark.parametrize("wait", [0.01, 0.1])
def test_a_trace_of_a_faster_time_explains_nothing(call_ms, other, wait):
    """A call of the trace takes 50 ms; the run slowed down after it was taken."""
    loop = loop_verdict([row(wait)])
    found = refined(loop, explanation(input=0.01), call_ms)
    verdict = sentences.verdict(found)
    assert ("50 ms a call against 75," in verdict) == other
    assert (found.stage, found.source) == ((None, "loop") if other else ("model", "profile"))
    assert found.kind is loop.kind
    assert found.evidence[0] == loop.evidence[0]
    assert (StepIsTheLimit() in found.evidence) == (wait == 0.01 and not other)
    waits = loop_verdict([row(0.5)])  # that is explained: both see it
    assert refined(waits, explanation(input=0.5), call_ms).stage == "decode"
