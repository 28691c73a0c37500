"""What is read from the events of a trace themselves: tf.data's stages, and the marked steps.

TensorFlow's analysis leaves out the `name=` of stages and the datasets inside functions, and loses
the link to a stage whose number needs all 64 bits, which is every second one. Where a call holds
several steps, in a loop of the graph, it takes the loop's iterations for what matters and sees no
step at all.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from trainer.stages import INPUT_STAGES
from trainer.trace.explanation import IteratorTime, Split
from trainer.trace.operations import EVENT, MAY_WAIT, stage_of_operation

_PICOSECONDS = 1e9  # a millisecond
_ITERATOR = re.compile(r"^(Iterator|SingleElementIterator)::")
_NUMBER = re.compile(r"\[\d+\]")  # of the element that a FlatMap or Interleave is at
_NO_NAME = re.compile(r"\w+:\d+|fused\(\?(,\?)*\)")  # what tf.data calls a stage without one
_AHEAD = "tf_data_multi_device"  # a thread that asks for batches ahead of the replicas
_ROOT = "Iterator::Root"
_MARK, _STEP_NUMBER, _CORES = "train", "step_num", "cores"  # by trainer.profiling
_DEVICE = "/device:"

Span = tuple[int, int]  # start and duration, picoseconds


def iterators(planes: Iterable[Any]) -> tuple[IteratorTime, ...]:
    """Every stage of tf.data, elements of a FlatMap taken together."""
    calls: dict[tuple[tuple[str, ...], str, bool], list[tuple[int, int]]] = {}
    for plane in planes:
        paths = {
            number: tuple(_NUMBER.sub("", metadata.name).split("::"))
            for number, metadata in plane.event_metadata.items()
            if _ITERATOR.match(metadata.name)
        }
        texts = {number: metadata.name for number, metadata in plane.stat_metadata.items()}
        for line in plane.lines:
            events = [event for event in line.events if event.metadata_id in paths]
            spans = [(event.offset_ps, event.duration_ps) for event in events]
            for event, own in zip(events, own_times(spans), strict=True):
                path = paths[event.metadata_id]
                root = path[-1] == "Root" and not line.name.startswith(_AHEAD)
                key = path, _name(event, texts), root
                calls.setdefault(key, []).append((event.duration_ps, own))
    found = [
        IteratorTime(
            path=path,
            name=name,
            calls=len(each),
            total_ms=sum(duration for duration, _ in each) / _PICOSECONDS,
            self_ms=sum(own for _, own in each) / _PICOSECONDS,
            longest_ms=max(duration for duration, _ in each) / _PICOSECONDS,
            awaited=root,
        )
        for (path, name, root), each in calls.items()
    ]
    return tuple(sorted(found, key=lambda each: -each.self_ms))


def own_times(spans: Sequence[tuple[int, int]]) -> list[int]:
    """Duration of each (start, duration) of a thread, without those that lie inside of it."""
    own = [duration for _, duration in spans]
    open_spans: list[int] = []
    for at in sorted(range(len(spans)), key=lambda at: (spans[at][0], -spans[at][1])):
        start, duration = spans[at]
        while open_spans and sum(spans[open_spans[-1]]) <= start:
            open_spans.pop()
        if open_spans:
            own[open_spans[-1]] -= duration
        open_spans.append(at)
    return own


def _name(event: Any, texts: dict[int, str]) -> str:
    """The `name=` that a stage was given; "" where it has none."""
    for stat in event.stats:
        if texts[stat.metadata_id] == "name":
            name = texts[stat.ref_value] if stat.ref_value else stat.str_value
            return "" if _NO_NAME.fullmatch(name) else str(name)
    return ""


def marked_steps(planes: Sequence[Any]) -> tuple[list[float], Split | None]:
    """(milliseconds of each marked call, what all of them together went to).

    Coarser than TensorFlow's: waiting for input, the device at work, and the rest, which on a CPU
    is its work. Input that was waited for while the device was busy has held up nothing.
    """
    marks: list[Span] = []
    waits: list[Span] = []
    busy: list[Span] = []
    for event in _events(planes):
        if event.plane.startswith(_DEVICE):
            busy.append(event.span)
        elif event.name == _ROOT and not event.line.startswith(_AHEAD):
            waits.append(event.span)
        elif event.is_mark:
            marks.append(event.span)
    total = sum(duration for _, duration in marks)
    if not total:
        return [], None
    times = [duration / _PICOSECONDS for _, duration in marks]
    waited, worked = min(1.0, covered(waits) / total), min(1.0, covered(busy) / total)
    if not busy:
        return times, Split(input=waited, host_compute=1 - waited)
    waited = min(waited, 1 - worked)
    return times, Split(input=waited, device_compute=worked, others=1 - worked - waited)


def marked_cores(planes: Sequence[Any]) -> int | None:
    """How many processor cores the process had by its marks; None where they do not say."""
    for event in _events(planes):
        if event.is_mark and _CORES in event.stats:
            return int(event.stats[_CORES])
    return None


def computing(planes: Sequence[Any]) -> float | None:
    """Share of the marked calls' time in which the host ran an operation that is no input.

    None without marks.
    """
    marks, work = [], []
    own: dict[str, bool] = {}  # by name of an event: there are few of them, and many events
    for event in _events(planes):
        if event.name not in own:
            own[event.name] = _is_computing(event.name)
        if event.is_mark:
            marks.append(event.span)
        elif own[event.name] and not event.plane.startswith(_DEVICE):
            work.append(event.span)
    total = covered(marks)
    if not total:
        return None
    # What both cover: |A| + |B| - |A or B|.
    return (total + covered(work) - covered([*marks, *work])) / total


def _is_computing(event: str) -> bool:
    """Whether an event is an operation, and one that is not known to be input or to wait."""
    found = EVENT.fullmatch(event)
    if found is None or MAY_WAIT.search(found["type"]):
        return False
    return stage_of_operation(found["name"], found["type"]) not in INPUT_STAGES


@dataclasses.dataclass(frozen=True)
class _Event:
    plane: str
    line: str
    name: str
    span: Span
    stats: Mapping[str, int]

    @property
    def is_mark(self) -> bool:
        return self.name == _MARK and _STEP_NUMBER in self.stats


def _events(planes: Iterable[Any]) -> Iterator[_Event]:
    """All events of a trace; numbers that they carry only where they may be marks."""
    for plane in planes:
        names = {number: metadata.name for number, metadata in plane.event_metadata.items()}
        texts = {number: metadata.name for number, metadata in plane.stat_metadata.items()}
        for line in plane.lines:
            for event in line.events:
                name = names[event.metadata_id]
                # Lines begin when they like; events are relative to them.
                span = line.timestamp_ns * 1000 + event.offset_ps, event.duration_ps
                stats = {}
                if name == _MARK:
                    stats = {
                        texts[s.metadata_id]: s.int64_value or s.uint64_value for s in event.stats
                    }
                yield _Event(plane.name, line.name, name, span, stats)


def covered(spans: Iterable[Span]) -> int:
    """How long at least one of the spans lasted."""
    length, until = 0, None
    for start, duration in sorted(spans):
        begin = start if until is None else max(start, until)
        length += max(0, start + duration - begin)
        until = max(begin, start + duration)
    return length
