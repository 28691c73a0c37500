"""The events of a trace, and tf.data's stages from them.

TensorFlow's analysis leaves out the `name=` of stages and the datasets inside functions, and loses
the link to a stage whose number needs all 64 bits, which is every second one.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from trainer.bottleneck.trace.explanation import IteratorTime

PICOSECONDS = 1e9  # a millisecond
_ITERATOR = re.compile(r"^(Iterator|SingleElementIterator)::")
_NUMBER = re.compile(r"\[\d+\]")  # of the element that a FlatMap or Interleave is at
_NO_NAME = re.compile(r"\w+:\d+|fused\(\?(,\?)*\)")  # what tf.data calls a stage without one
_AHEAD = "tf_data_multi_device"  # a thread that asks for batches ahead of the replicas
_ROOT = "Iterator::Root"
_MARK, _STEP_NUMBER = "train", "step_num"  # by trainer.monitoring.profiling
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
    times = [
        IteratorTime(
            path=path,
            name=name,
            calls=len(durations),
            total_ms=sum(duration for duration, _ in durations) / PICOSECONDS,
            self_ms=sum(own for _, own in durations) / PICOSECONDS,
            longest_ms=max(duration for duration, _ in durations) / PICOSECONDS,
            awaited=root,
        )
        for (path, name, root), durations in calls.items()
    ]
    return tuple(sorted(times, key=lambda time: -time.self_ms))


def own_times(spans: Sequence[tuple[int, int]]) -> list[int]:
    """Duration of each (start, duration) of a thread, without those that lie inside of it."""
    own = [duration for _, duration in spans]
    open_spans: list[int] = []
    for index in sorted(range(len(spans)), key=lambda index: (spans[index][0], -spans[index][1])):
        start, duration = spans[index]
        while open_spans and sum(spans[open_spans[-1]]) <= start:
            open_spans.pop()
        if open_spans:
            own[open_spans[-1]] -= duration
        open_spans.append(index)
    return own


def _name(event: Any, texts: dict[int, str]) -> str:
    """The `name=` that a stage was given; "" if it has none."""
    for stat in event.stats:
        if texts[stat.metadata_id] == "name":
            name = texts[stat.ref_value] if stat.ref_value else stat.str_value
            return "" if _NO_NAME.fullmatch(name) else str(name)
    return ""


@dataclasses.dataclass(frozen=True)
class Event:
    """An event of a thread or stream; `stats` are what a mark carries, {} of all others."""

    plane: str
    line: str
    name: str
    span: Span
    stats: Mapping[str, int]

    @property
    def is_mark(self) -> bool:
        """Whether it is a call of the training loop."""
        return self.name == _MARK and _STEP_NUMBER in self.stats

    @property
    def on_device(self) -> bool:
        """Whether a device ran it, and not the host."""
        return self.plane.startswith(_DEVICE)

    @property
    def waits_for_input(self) -> bool:
        """Whether a step asked for a batch."""
        return self.name == _ROOT and not self.line.startswith(_AHEAD)


def events(planes: Iterable[Any]) -> Iterator[Event]:
    """All events of a trace."""
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
                yield Event(plane.name, line.name, name, span, stats)


def covered(spans: Iterable[Span]) -> int:
    """How long at least one of the spans lasted."""
    length, until = 0, None
    for start, duration in sorted(spans):
        begin = start if until is None else max(start, until)
        length += max(0, start + duration - begin)
        until = max(begin, start + duration)
    return length
