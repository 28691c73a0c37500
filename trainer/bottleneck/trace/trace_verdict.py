"""The verdict of a trace, alone or refining the one of the loop whose run was traced."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping

from trainer.bottleneck import thresholds
from trainer.bottleneck.bottleneck import Advice, Bottleneck, Kind, Source
from trainer.bottleneck.evidence import (
    BatchesReady,
    CoresTaken,
    Evidence,
    FasterTrace,
    FixedCost,
    InputWait,
    LargestParts,
    NoDevices,
    NoMarkedSteps,
    ReplicaExchange,
    SlowWorkerInput,
    StepIsTheLimit,
    TracedParts,
    TracedWait,
)
from trainer.bottleneck.trace.explanation import GPU, Explanation
from trainer.bottleneck.trace.trace_rules import trace_advice
from trainer.bottleneck.trace.trace_stages import (
    NAMED_STAGES,
    busy_stage,
    crowding_stage,
    input_stage,
    stage_shares,
)
from trainer.monitoring.stages import COLLECTIVE, OVERHEAD


def trace_verdict(explanation: Explanation) -> Bottleneck:
    """The verdict of a trace alone."""
    kind, stage, evidence = _verdict(explanation)
    return Bottleneck(
        kind,
        Source.PROFILE,
        stage=stage,
        shares=stage_shares(explanation),
        evidence=evidence,
        advice=trace_advice(explanation),
    )


def refined(
    loop: Bottleneck, explanation: Explanation | None, call_ms: float = math.nan
) -> Bottleneck:
    """The loop's verdict, with the stage, the shares and the advice of a trace of the same run.

    The loop saw all steps and the trace ten of them: where one sees much waiting for input and the
    other none, or the loop knows the stage itself, the loop's stands as it is. Where the loop
    could not measure, the trace's does; so it does where they do not agree on a GPU, of which the
    trace has the times and the loop knows only when it looked. What the loop knows of another
    worker stands. A trace of a much faster time than the run's tells nothing of what slowed it.

    Args:
      loop: by loop_verdict().
      explanation: of the trace; None = there is none.
      call_ms: milliseconds of a call over the run, to compare with the trace's.
    """
    if explanation is None or explanation.split is None or loop.stage is not None:
        return loop
    if explanation.lacks_devices:
        return dataclasses.replace(loop, advice=(*loop.advice, Advice("profiler_rights")))
    traced = trace_verdict(explanation)
    traced = dataclasses.replace(traced, advice=_joined(traced.advice, loop.advice))
    waits = explanation.waits_for_input(thresholds.INPUT_HIGH)
    if loop.blames_step and not waits:
        return _with_parts(loop, traced, explanation, call_ms)
    if _both_wait(loop, explanation):
        named = (TracedWait(traced_stage),) if (traced_stage := input_stage(explanation)) else ()
        return dataclasses.replace(
            traced,
            kind=loop.kind,
            stage=traced_stage,
            # Those of a trace that saw a little waiting are of that.
            shares=traced.shares if waits else None,
            evidence=(*loop.evidence, *named),
        )
    trusted = explanation.hardware == GPU and loop.kind is not Kind.INPUT_ONE_WORKER
    return traced if trusted or loop.kind is Kind.UNKNOWN else loop


def _joined(first: tuple[Advice, ...], second: tuple[Advice, ...]) -> tuple[Advice, ...]:
    return (*first, *(advice for advice in second if advice not in first))


def _with_parts(
    loop: Bottleneck, traced: Bottleneck, explanation: Explanation, call_ms: float
) -> Bottleneck:
    """A verdict of the loop that blames the step, with what the step consists of."""
    trace_ms = explanation.step_ms
    if trace_ms is not None and call_ms >= thresholds.SLOWED * trace_ms:
        evidence = (*_without_limit(loop.evidence), FasterTrace(trace_ms, call_ms))
        return dataclasses.replace(loop, evidence=evidence)
    if not traced.blames_step:
        return traced
    evidence = loop.evidence
    if traced.stage:
        crowding = _crowding(explanation)
        parts = TracedParts(_largest(traced.shares or {}))
        evidence = (*(_without_limit(evidence) if crowding else evidence), parts, *crowding)
    return dataclasses.replace(traced, kind=loop.kind, evidence=evidence)


def _without_limit(evidence: tuple[Evidence, ...]) -> tuple[Evidence, ...]:
    return tuple(fact for fact in evidence if not isinstance(fact, StepIsTheLimit))


def _both_wait(loop: Bottleneck, explanation: Explanation) -> bool:
    """Whether loop and trace see much waiting; of a CPU it is enough if one of them does."""
    on_gpu = explanation.hardware == GPU
    limit = thresholds.INPUT_HIGH if on_gpu else thresholds.INPUT_MODERATE
    if not explanation.waits_for_input(limit):
        return False
    if loop.kind is Kind.INPUT_ONE_WORKER:  # the trace is that of worker 0
        return any(isinstance(fact, SlowWorkerInput) and not fact.worker for fact in loop.evidence)
    return loop.kind is Kind.INPUT and not (on_gpu and loop.is_slight)


def _verdict(explanation: Explanation) -> tuple[Kind, str | None, tuple[Evidence, ...]]:
    """(kind, stage, evidence)."""
    split = explanation.split
    if explanation.lacks_devices:
        return Kind.UNKNOWN, None, (NoDevices(),)
    if split is None:
        return Kind.UNKNOWN, None, (NoMarkedSteps(),)
    if explanation.waits_for_input(thresholds.INPUT_HIGH):
        stage = input_stage(explanation)
        return Kind.INPUT, stage, (InputWait(split.input, stage),)
    waited = BatchesReady() if explanation.input_is_ready else InputWait(split.input)
    stage, shares = busy_stage(explanation), stage_shares(explanation) or {}
    share = shares.get(stage, 0.0) if stage else 0.0
    crowding = crowding_stage(explanation)
    if crowding and crowding[0] == stage:
        return Kind.INPUT, stage, (CoresTaken(*crowding), waited)
    if stage == OVERHEAD and share >= thresholds.HOST_HIGH:
        return Kind.OVERHEAD, stage, (FixedCost(share),)
    if stage == COLLECTIVE and share >= thresholds.COLLECTIVE_HIGH:
        return Kind.COMMUNICATION, stage, (ReplicaExchange(share),)
    slight = explanation.waits_for_input(thresholds.INPUT_MODERATE)
    evidence: tuple[Evidence, ...] = (waited,)
    if stage:
        evidence = (waited, LargestParts(_largest(shares)), *_crowding(explanation))
    return Kind.INPUT if slight else Kind.COMPUTE, stage, evidence


def _largest(shares: Mapping[str, float]) -> tuple[tuple[str, float], ...]:
    """The largest stage of a step that does not wait, and a second one that is large, too."""
    of_step = {stage: shares[stage] for stage in shares if stage not in NAMED_STAGES} or shares
    first, *others = sorted(of_step.items(), key=lambda part: -part[1])
    large = [part for part in others[:1] if part[1] >= thresholds.SECOND_PART]
    return (first, *large)


def _crowding(explanation: Explanation) -> tuple[CoresTaken, ...]:
    """The stage of the input that takes cores from the step; () = none, or hardly any."""
    crowding = crowding_stage(explanation)
    if crowding is None or crowding[1] < thresholds.INPUT_MODERATE:
        return ()
    return (CoresTaken(*crowding),)
