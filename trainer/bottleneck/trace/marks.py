"""What the marked calls of a trace hold: their times, and what the host does meanwhile.

Where a call holds several steps, in a loop of the graph, TensorFlow's analysis takes the loop's
iterations for what matters and sees no step at all. And it counts a whole call as computing, with
what lies between its operations.
"""

from __future__ import annotations

import dataclasses
import functools
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from trainer.bottleneck.trace.events import PICOSECONDS, Span, covered, events, own_times
from trainer.bottleneck.trace.explanation import Split
from trainer.bottleneck.trace.operations import EVENT, MAY_WAIT, stage_of_operation
from trainer.monitoring.stages import COLLECTIVE, INPUT_STAGES

_MICROSECOND = 1_000_000  # picoseconds


@dataclasses.dataclass(frozen=True)
class Marks:
    """The marked calls.

    Attributes:
      facts: what they say of their process: `cores`, `gpus`, and as 0 or 1 `jit` (the model is
        compiled), `augments` (pictures are augmented in each step), `redecodes` (a table of decoded
        pictures would save decoding).
      computing: share of their time in which the host ran an operation that is no input.
      running: operations that the host ran at a time from the first call to the end of the last,
        input among them, but for those that may be waiting for something.
      busy: cores that the process had on average from the first call to the beginning of the last,
        by its processor time; 0.0 = not known.
    """

    facts: Mapping[str, int]
    computing: float
    running: float
    busy: float


def marks(planes: Sequence[Any]) -> Marks | None:
    """What the marked calls hold; None if there are none."""
    facts: Mapping[str, int] = {}
    calls: list[Span] = []
    steps: list[Span] = []
    clock: list[tuple[int, int]] = []  # when a call began, and the processor time until then
    work: dict[tuple[str, str], list[Span]] = defaultdict(list)  # by thread
    for event in events(planes):
        if event.is_mark:
            calls.append(event.span)
            facts = event.stats
            clock.append((event.span[0], event.stats.get("cpu_us", 0)))
        elif not event.on_device:
            fills_a_core, is_step = _kind(event.name)
            if fills_a_core:
                work[event.plane, event.line].append(event.span)
            if is_step:
                steps.append(event.span)
    total = covered(calls)
    if not total:
        return None
    begin, end = min(start for start, _ in calls), max(map(sum, calls))
    ran = sum(
        own
        for spans in work.values()
        for (start, _), own in zip(spans, own_times(spans), strict=True)
        if begin <= start < end
    )
    # What two cover both: |A| + |B| - |A or B|.
    both = total + covered(steps) - covered([*calls, *steps])
    return Marks(facts, both / total, ran / (end - begin), _cores_busy(clock))


def _cores_busy(clock: list[tuple[int, int]]) -> float:
    """From (picoseconds, microseconds of processor time) at the beginnings of calls."""
    (begin, cpu_begin), (end, cpu_end) = min(clock), max(clock)
    return (cpu_end - cpu_begin) * _MICROSECOND / (end - begin) if end > begin else 0.0


@functools.lru_cache(maxsize=1 << 16)  # there are many events, of few names
def _kind(event: str) -> tuple[bool, bool]:
    """(whether an event is an operation that does not wait, whether it is one of the step)."""
    operation = EVENT.fullmatch(event)
    if operation is None or MAY_WAIT.search(operation["type"]):
        return False, False
    stage = stage_of_operation(operation["name"], operation["type"])
    return stage != COLLECTIVE, stage not in INPUT_STAGES


def marked_steps(planes: Sequence[Any]) -> tuple[list[float], Split | None]:
    """(milliseconds of each marked call, what all of them together went to).

    Coarser than TensorFlow's: waiting for input, the device at work, and the rest, which on a CPU
    is its work. Input that was waited for while the device was busy has held up nothing.
    """
    calls: list[Span] = []
    waits: list[Span] = []
    busy: list[Span] = []
    for event in events(planes):
        if event.on_device:
            busy.append(event.span)
        elif event.waits_for_input:
            waits.append(event.span)
        elif event.is_mark:
            calls.append(event.span)
    total = sum(duration for _, duration in calls)
    if not total:
        return [], None
    times = [duration / PICOSECONDS for _, duration in calls]
    waited, worked = min(1.0, covered(waits) / total), min(1.0, covered(busy) / total)
    if not busy:
        return times, Split(input=waited, host_compute=1 - waited)
    waited = min(waited, 1 - worked)
    return times, Split(input=waited, device_compute=worked, others=1 - worked - waited)
