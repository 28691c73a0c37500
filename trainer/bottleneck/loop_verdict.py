"""The verdict that follows from the training loop's own clock alone: rows of metrics.jsonl.

The loop knows how long it waited, not for which stage: `stage` is None unless it is the loop
itself.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from trainer.bottleneck.bottleneck import Advice, Bottleneck, Kind, Source
from trainer.bottleneck.evidence import (
    Evidence,
    InputWait,
    NothingTimed,
    PythonBetweenSteps,
    SlowWorkerInput,
    StepIsTheLimit,
    WaitNotTimed,
)
from trainer.bottleneck.thresholds import (
    HOST_HIGH,
    INPUT_MODERATE,
    STEPS_A_CALL,
    WORKER_WAITS_MORE,
)
from trainer.monitoring.metric_rows import Row, mean
from trainer.monitoring.stages import OVERHEAD
from trainer.monitoring.timing import WORKER_WAITS


def loop_verdict(rows: Sequence[Row]) -> Bottleneck:
    """The verdict of a run by its epochs."""
    slow_input = _slow_worker_input(rows)
    if slow_input is not None:
        named = {"worker": slow_input.worker}
        return Bottleneck(
            Kind.INPUT_ONE_WORKER,
            Source.LOOP,
            evidence=(slow_input,),
            advice=(Advice("compare_worker", named), Advice("diagnose_worker", named)),
        )
    wait, host = mean(rows, "input_wait_fraction"), mean(rows, "host_fraction")
    if host is not None and host >= HOST_HIGH and host > (wait or 0):
        return Bottleneck(
            Kind.OVERHEAD,
            Source.LOOP,
            stage=OVERHEAD,
            evidence=(PythonBetweenSteps(host),),
            advice=(Advice("steps_per_execution", {"steps": STEPS_A_CALL}),),
        )
    kind, *evidence = _by_wait(wait, host)
    workers = max((len(row.get(WORKER_WAITS) or ()) for row in rows), default=0)
    advice = Advice("diagnose_workers", {"workers": workers}) if workers else Advice("diagnose")
    return Bottleneck(kind, Source.LOOP, evidence=tuple(evidence), advice=(advice,))


def _by_wait(wait: float | None, host: float | None) -> tuple[Kind, *tuple[Evidence, ...]]:
    if wait is None:
        return Kind.UNKNOWN, NothingTimed() if host is None else WaitNotTimed()
    if wait >= INPUT_MODERATE:
        return Kind.INPUT, InputWait(wait)
    return Kind.COMPUTE, InputWait(wait), StepIsTheLimit()


def _slow_worker_input(rows: Sequence[Row]) -> SlowWorkerInput | None:
    """The worker whose input all wait for, and the longest wait of the others."""
    epochs = [row[WORKER_WAITS] for row in rows if row.get(WORKER_WAITS)]
    epochs = [waits for waits in epochs[1:] or epochs if None not in waits]
    # A restart may have come back with another number of workers: the last one's counts.
    epochs = [waits for waits in epochs if len(waits) == len(epochs[-1])]
    if not epochs:
        return None
    waits = np.mean(epochs, axis=0)
    worker = int(waits.argmax())
    others = np.delete(waits, worker)
    if waits[worker] - np.median(others) < WORKER_WAITS_MORE:
        return None
    return SlowWorkerInput(worker, float(waits[worker]), float(others.max()))
