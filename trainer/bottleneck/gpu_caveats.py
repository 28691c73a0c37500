"""What is wrong with a GPU itself, by the rows of metrics.jsonl: heat, power, link, memory, others.

The figures are those of trainer.monitoring.gpu_readings, each as `gpuN_NAME`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from preprocess.shell.json_text import JsonObject
from trainer.bottleneck.bottleneck import Advice
from trainer.bottleneck.evidence import Evidence, GpuErrors, GpuHeldBack, GpuShared, GpuSlowLink
from trainer.bottleneck.thresholds import GPU_CLOCK_LOW, GPU_HELD_BACK
from trainer.monitoring.metric_rows import Row, mean

_NAME = re.compile(r"gpu([0-9]+)_")
_POWER_CAP = "power cap"


def gpu_caveats(rows: Sequence[Row]) -> Iterator[tuple[Evidence, Advice]]:
    """Each fact with what to do about it, GPU by GPU."""
    numbers = {int(match[1]) for row in rows for name in row if (match := _NAME.match(name))}
    for number in sorted(numbers):
        yield from _of(number, rows)


def _of(number: int, rows: Sequence[Row]) -> Iterator[tuple[Evidence, Advice]]:
    if held := _held_back(number, rows):
        yield held, Advice("gpu_clock", cause=held)
    last = _last(number, rows)
    link, most = last.get("link"), last.get("link_most")
    if link and most and (link[0] < most[0] or link[1] < most[1]):
        slow = GpuSlowLink(number, link[0], most[0], link[1], most[1])
        yield slow, Advice("gpu_link", cause=slow)
    if last.get("ecc_errors"):
        errors = GpuErrors(number, last["ecc_errors"])
        yield errors, Advice("gpu_errors", cause=errors)
    if last.get("other_processes"):
        shared = GpuShared(number, last["other_processes"])
        yield shared, Advice("gpu_alone", cause=shared)


def _held_back(number: int, rows: Sequence[Row]) -> GpuHeldBack | None:
    share = mean(rows, f"gpu{number}_throttled_fraction")
    if share is None or share < GPU_HELD_BACK:
        return None
    named = {reason for row in rows for reason in row.get(f"gpu{number}_throttled") or ()}
    clock = mean(rows, f"gpu{number}_clock_fraction")
    if clock is None and named <= {_POWER_CAP}:
        return None
    if clock is not None and clock >= GPU_CLOCK_LOW:
        return None
    return GpuHeldBack(number, tuple(sorted(named)), clock)


def _last(number: int, rows: Sequence[Row]) -> JsonObject:
    """The figures of the last epoch that has any of this GPU, by their names."""
    start = f"gpu{number}_"
    found: JsonObject = {}
    for row in rows:
        here = {k.removeprefix(start): v for k, v in row.items() if k.startswith(start)}
        found = here or found
    return found
