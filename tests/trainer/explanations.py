"""Made-up explanations of traces, for tests."""

from __future__ import annotations

import dataclasses
import math

from trainer.bottleneck.loop_verdict import loop_verdict
from trainer.bottleneck.sentences import as_json
from trainer.bottleneck.trace import refined, trace_verdict
from trainer.bottleneck.trace.explanation import Explanation, IteratorTime, OperationTime, Split

PARTS = [field.name for field in dataclasses.fields(Split)]


def iterator(path, self_ms, name="", calls=10, total_ms=None, awaited=False):
    total = self_ms if total_ms is None else total_ms
    return IteratorTime(tuple(path.split("::")), name, calls, total, self_ms, total / 2, awaited)


def operation(name, kind, ms, on_device=False):
    return OperationTime(name, kind, on_device, 10, ms, 0.5)


def waited(us):
    """A root that ten batches were asked of, each there after so many microseconds."""
    return iterator("Iterator::Root", 0.0, total_ms=10 * us / 1000, awaited=True)


DECODING = iterator("Iterator::Root::Prefetch::ParallelMapV2", 900.0, "decode")


MODEL = operation("model/conv/Conv2D", "Conv2D", 300.0)


def explanation(hardware="CPU_ONLY", steps=10, latency_us=5000.0, **parts):
    """Parts of the split as given, the rest operations; the input waits for decoding."""
    rest = "host_compute" if hardware == "CPU_ONLY" else "device_compute"
    shares = {rest: 1 - sum(parts.values()), **parts}
    return Explanation(
        host="made-up",
        hardware=hardware,
        steps=steps,
        step_ms=50.0,
        split=Split(**shares),
        iterators=(DECODING, waited(latency_us)),
        operations=(MODEL,),
    )


def by_loop(rows):
    """`bottleneck` of report.json of a run without a trace."""
    return as_json(loop_verdict(rows))


def by_trace(explanation):
    """The same of a trace alone."""
    return as_json(trace_verdict(explanation))


def by_both(rows, explanation, call_ms=math.nan):
    """The same of a run and its trace."""
    return as_json(refined(loop_verdict(rows), explanation, call_ms))


def row(wait):
    return {"input_wait_fraction": wait, "host_fraction": 0.01}
