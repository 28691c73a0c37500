"""A trace in lines of text."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from trainer.bottleneck import sentences, thresholds
from trainer.bottleneck.trace.explanation import Explanation
from trainer.bottleneck.trace.trace_stages import only_waits, stage_of, stage_shares
from trainer.bottleneck.trace.trace_verdict import trace_verdict

SHOWN = 5  # stages of the pipeline, and operations
_PARTS = {
    "input": "waiting for input",
    "transfer": "copying to the device",
    "output": "copying results back",
    "kernel_launch": "launching kernels",
    "compile": "compiling",
    "host_compute": "operations on the host",
    "device_compute": "operations on the device",
    "collectives": "exchange between replicas",
    "between": "between operations",
    "others": "Python and the rest",
}


def lines(explanation: Explanation) -> list[str]:
    """What a person reads of it: verdict, split of a step, slowest stages, operations, advice."""
    bottleneck = trace_verdict(explanation)
    return [
        sentences.verdict(bottleneck),
        *_steps(explanation),
        *_iterators(explanation),
        *_operations(explanation),
        *(f"-> {sentences.advice_line(advice)}" for advice in bottleneck.advice),
    ]


def _steps(explanation: Explanation) -> Iterator[str]:
    if explanation.split is None or explanation.step_ms is None:
        return
    yield ""
    yield f"{explanation.host}: {explanation.steps} calls of {explanation.step_ms:.1f} ms"
    if explanation.steps < thresholds.TRACED_STEPS:
        yield f"(fewer than {thresholds.TRACED_STEPS} calls say little: trace ten)"
    for part, share in dataclasses.asdict(explanation.split).items():
        if share >= 0.0005:  # 0.1 % when rounded
            yield f"  {share:6.1%}  {share * explanation.step_ms:8.2f} ms  {_PARTS[part]}"
    if explanation.device_idle is not None:
        yield f"  {explanation.device_idle:6.1%}  of the time the device did nothing"
    shares = stage_shares(explanation)
    if shares:
        yield ""
        yield "a step by stage"
        for stage in sorted(shares, key=lambda stage: -shares[stage]):
            if shares[stage] >= 0.0005:
                yield f"  {shares[stage]:6.1%}  {stage}"


def _iterators(explanation: Explanation) -> Iterator[str]:
    if not explanation.iterators:
        return
    yield ""
    yield "tf.data: own time in all; mean and longest call; a stage that waits has time too"
    for iterator in explanation.iterators[:SHOWN]:
        stage = "waits" if only_waits(iterator) else stage_of(iterator, explanation.operations)
        name = f" '{iterator.name}'" if iterator.name else ""
        yield (
            f"  {iterator.self_ms:8.1f} ms  {iterator.calls} calls, "
            f"mean {iterator.total_ms / iterator.calls:.2f} ms, "
            f"longest {iterator.longest_ms:.2f} ms  {'::'.join(iterator.path[1:])}{name} ({stage})"
        )


def _operations(explanation: Explanation) -> Iterator[str]:
    if not explanation.operations:
        return
    yield ""
    yield "operations, by own time on all threads"
    for op in explanation.operations[:SHOWN]:
        place = "device" if op.on_device else "host"
        yield f"  {op.self_ms:8.1f} ms  {op.share:5.1%} of the {place}'s  {op.type}  {op.name}"
