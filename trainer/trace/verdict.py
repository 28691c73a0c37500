"""`bottleneck` of report.json from a trace, alone or joined to what the loop measured."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from trainer import thresholds
from trainer.stages import COLLECTIVE, OVERHEAD
from trainer.timing import (
    COMPUTE_BOUND,
    INPUT_BOUND,
    NOT_MEASURED,
    ONE_WORKER,
    SLIGHTLY,
    STEP_ALONE,
)
from trainer.trace import rules
from trainer.trace.explanation import GPU, Explanation
from trainer.trace.stages import (
    NAMED_STAGES,
    busy_stage,
    crowding_stage,
    input_stage,
    stage_shares,
)

PROFILE = "profile"
NO_STEPS = (
    "No step was marked in this trace, so what a step's time went to is not known; "
    "trace whole calls, at least five."
)

FASTER = "Its trace is of a faster time, {:.0f} ms a call against {:.0f}, and does not say why."
NO_DEVICES = (
    "The trace has nothing of the GPUs, so what they did is not known: the profiler needs the "
    "right to look (NVreg_RestrictProfilingToAdminUsers=0 on the machine, or SYS_ADMIN for the "
    "container)."
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


def joined(
    loop: Mapping[str, Any], explanation: Explanation | None, call_ms: float = math.nan
) -> dict[str, Any]:
    """The loop's verdict, with the stage, the shares and the advice of a trace of the same run.

    The loop saw all steps and the trace ten of them: where one sees much waiting for input and the
    other none, or the loop knows the stage itself, the loop's stands as it is. Where the loop
    could not measure, the trace's does; so it does where they do not agree on a GPU, of which the
    trace has the times and the loop knows only when it looked. What the loop knows of another
    worker stands. A trace of a much faster time than the run's tells nothing of what slowed it.

    Args:
      loop: by trainer.timing.verdict().
      explanation: of the trace; None = there is none.
      call_ms: milliseconds of a call over the run, to compare with the trace's.
    """
    if explanation is None or explanation.split is None or loop["stage"] is not None:
        return dict(loop)
    if explanation.lacks_devices:
        return {**loop, "advice": [*loop["advice"], NO_DEVICES]}
    traced = bottleneck(explanation)
    stage, sentence = traced["stage"], loop["verdict"]
    by_input = explanation.waits_for_input(thresholds.INPUT_HIGH)
    trusted = explanation.hardware == GPU and not sentence.startswith(ONE_WORKER)
    if sentence.startswith((COMPUTE_BOUND, SLIGHTLY)) and not by_input:
        if call_ms >= thresholds.SLOWED * (explanation.step_ms or math.inf):
            faster = FASTER.format(explanation.step_ms, call_ms)
            return {**loop, "verdict": f"{sentence.replace(STEP_ALONE, '.')} {faster}"}
        if not _is_the_step(traced["verdict"]):
            sentence = traced["verdict"]
        elif stage:
            crowding = crowding_stage(explanation)
            if crowding and crowding[1] >= thresholds.INPUT_MODERATE:
                sentence = sentence.replace(STEP_ALONE, ".")
            sentence += (
                f" The largest part of a step in its trace is "
                f"{_parts(explanation, traced['shares'])}."
            )
    elif _both_wait(sentence, explanation):
        stage = input_stage(explanation)
        sentence += f" In its trace the input waits for {stage}." if stage else ""
        if not by_input:  # its shares are those of the little waiting that it saw
            traced["shares"] = None
    elif NOT_MEASURED in sentence or trusted:
        sentence = traced["verdict"]
    else:
        return dict(loop)
    advice = traced["advice"] + [each for each in loop["advice"] if each not in traced["advice"]]
    return {**loop, **traced, "verdict": sentence, "stage": stage, "advice": advice}


def _parts(explanation: Explanation, shares: Mapping[str, float]) -> str:
    """The largest stage of a step that does not wait, a second one that is large, too, and the
    input that takes cores from them.
    """
    able = {s: share for s, share in shares.items() if s not in NAMED_STAGES} or shares
    first, *others = sorted(able, key=lambda stage: -able[stage])
    words = f"{first}, {able[first]:.1%}"
    if others and able[others[0]] >= thresholds.SECOND_PART:
        words += f", then {others[0]}, {able[others[0]]:.1%}"
    crowding = crowding_stage(explanation)
    if crowding and crowding[1] >= thresholds.INPUT_MODERATE:
        words += f"; all cores are taken, {crowding[1]:.1%} of what runs on them is {crowding[0]}"
    return words


def _both_wait(sentence: str, explanation: Explanation) -> bool:
    """Whether loop and trace see much waiting; of a CPU it is enough if one of them does."""
    # The trace is that of worker 0.
    begins: tuple[str, ...] = (f"{INPUT_BOUND}:", f"{ONE_WORKER}: worker 0 ")
    limit = thresholds.INPUT_HIGH
    if explanation.hardware != GPU:
        begins, limit = (*begins, SLIGHTLY), thresholds.INPUT_MODERATE
    return sentence.startswith(begins) and explanation.waits_for_input(limit)


def _is_the_step(sentence: str) -> bool:
    """Whether a trace blames what the loop alone calls the step, and not something beside it."""
    return sentence.startswith((COMPUTE_BOUND, SLIGHTLY))


def _verdict(
    explanation: Explanation, shares: Mapping[str, float] | None
) -> tuple[str | None, str]:
    """(stage, sentence)."""
    split = explanation.split
    if explanation.lacks_devices:
        return None, NO_DEVICES
    if split is None:
        return None, NO_STEPS
    waited = f"{split.input:.1%} of step time was spent waiting for input"
    if explanation.input_is_ready:
        waited = "batches were there when they were asked for"
    if explanation.waits_for_input(thresholds.INPUT_HIGH):
        stage = input_stage(explanation)
        waits_for = f", and that waits for {stage}" if stage else ""
        return stage, f"{INPUT_BOUND}: {waited}{waits_for}."
    stage, found = busy_stage(explanation), shares or {}
    share = found.get(stage, 0.0) if stage else 0.0
    crowding = crowding_stage(explanation)
    if crowding and crowding[0] == stage:
        return stage, (
            f"{INPUT_BOUND}: all cores are taken, and {crowding[1]:.1%} of what runs on them is "
            f"{stage}; {waited}."
        )
    if stage == OVERHEAD and share >= thresholds.HOST_HIGH:
        return stage, (
            f"Overhead-bound: {share:.1%} of step time goes to what a batch costs whatever its "
            "size: Python, launching operations, updating the weights."
        )
    if stage == COLLECTIVE and share >= thresholds.COLLECTIVE_HIGH:
        return stage, f"Communication-bound: {share:.1%} of step time went between replicas."
    rest = f"; the largest part is {_parts(explanation, found)}" if stage else ""
    if explanation.waits_for_input(thresholds.INPUT_MODERATE):
        return stage, f"{SLIGHTLY}: {waited}{rest}."
    return stage, f"{COMPUTE_BOUND}: {waited}{rest}."
