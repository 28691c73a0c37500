"""`bottleneck` of report.json from a trace, alone or joined to what the loop measured."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trainer import thresholds
from trainer.stages import COLLECTIVE, OVERHEAD
from trainer.timing import ONE_WORKER
from trainer.trace import rules
from trainer.trace.explanation import GPU, Explanation
from trainer.trace.stages import input_stage, stage_shares, step_stage

PROFILE = "profile"
NO_STEPS = (
    "No step was marked in this trace, so what a step's time went to is not known; "
    "trace whole calls, at least five."
)


def bottleneck(explanation: Explanation) -> dict[str, Any]:
    """`bottleneck` of report.json; what a trace cannot know is None."""
    shares = stage_shares(explanation)
    stage, sentence = _verdict(explanation, shares)
    return {
        "stage": stage,
        "verdict": sentence,
        "source": PROFILE,
        "input_tax": None,
        "shares": shares,
        "advice": rules.advice(explanation),
    }


def joined(loop: Mapping[str, Any], explanation: Explanation | None) -> dict[str, Any]:
    """The loop's verdict, with the stage, the shares and the advice of a trace of the same run.

    The loop saw all steps and the trace ten of them: where they do not agree on whether the input
    is waited for, or the loop knows the stage itself, the loop's stands as it is. Where the loop
    could not measure, the trace's does; so it does where they do not agree on a GPU, of which the
    trace has the times and the loop knows only when it looked. What the loop knows of another
    worker stands.
    """
    if explanation is None or explanation.split is None or loop["stage"] is not None:
        return dict(loop)
    traced = bottleneck(explanation)
    sentence = loop["verdict"]
    by_input = _waits(explanation, thresholds.INPUT_HIGH)
    if sentence.startswith("Input-bound") and by_input:
        stage = input_stage(explanation)
        sentence += f" In its trace the input waits for {stage}." if stage else ""
    elif sentence.startswith(("Compute-bound", "Slightly input-bound")) and not by_input:
        stage = step_stage(explanation)
        if stage:
            share = traced["shares"][stage]
            sentence += f" The largest part of a step in its trace is {stage}, {share:.1%}."
    elif "not measured" in sentence or (
        explanation.hardware == GPU and not sentence.startswith(ONE_WORKER)
    ):
        stage, sentence = traced["stage"], traced["verdict"]
    else:
        return dict(loop)
    advice = traced["advice"] + [each for each in loop["advice"] if each not in traced["advice"]]
    return {**loop, **traced, "verdict": sentence, "stage": stage, "advice": advice}


def _waits(explanation: Explanation, limit: float) -> bool:
    """Whether waiting for input takes a step's time from a limit on."""
    split = explanation.split
    return split is not None and split.input >= limit and not explanation.input_is_ready


def _verdict(
    explanation: Explanation, shares: Mapping[str, float] | None
) -> tuple[str | None, str]:
    """(stage, sentence)."""
    split = explanation.split
    if split is None:
        return None, NO_STEPS
    waited = f"{split.input:.1%} of step time was spent waiting for input"
    if explanation.input_is_ready:
        waited = "batches were there when they were asked for"
    if _waits(explanation, thresholds.INPUT_HIGH):
        stage = input_stage(explanation)
        return stage, f"Input-bound: {waited}{f', and that waits for {stage}' if stage else ''}."
    stage, found = step_stage(explanation), shares or {}
    share = found.get(stage, 0.0) if stage else 0.0
    if stage == OVERHEAD and share >= thresholds.HOST_HIGH:
        return stage, f"Overhead-bound: {share:.1%} of step time was neither input nor computing."
    if stage == COLLECTIVE and share >= thresholds.COLLECTIVE_HIGH:
        return stage, f"Communication-bound: {share:.1%} of step time went between replicas."
    if _waits(explanation, thresholds.INPUT_MODERATE):
        return stage, f"Slightly input-bound: {waited}."
    rest = f"; the largest part is {stage}, {share:.1%}" if stage else ""
    return stage, f"Compute-bound: {waited}{rest}."
