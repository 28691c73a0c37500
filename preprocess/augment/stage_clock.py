"""Where a build's time goes: seconds by stage, and of augmenting by operation.

Measured as laps of a stopwatch, two clock readings' worth of cost for each, so that the sum over
the stages is all the time of a shard and nothing is counted twice. It is time on the clock, not
of a processor: waiting for a slow disk is what reading and syncing are to show.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Mapping

READ = "read"  # a picture file's bytes
DECODE = "decode"  # bytes -> pixels
RESIZE = "resize"
AUGMENT = "augment"  # the sum over its operations; DRAW is one of them
ENCODE = "encode"  # pixels -> bytes
WRITE = "write"  # record, checksums, handing over to the system
SYNC = "sync"  # waiting until the disk has it
NEGLIGIBLE = 0.001  # share of the whole below which a row is not worth reading
STAGES = (READ, DECODE, RESIZE, AUGMENT, ENCODE, WRITE, SYNC)
DRAW = "draw"  # random numbers; the other laps of augmenting have their operations' names


class Stopwatch:
    """Adds up seconds by name; runs from the moment it is made."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._since = time.perf_counter()

    def lap(self, name: str) -> None:
        """What passed since the last lap was spent on `name`."""
        now = time.perf_counter()
        self.seconds[name] = self.seconds.get(name, 0.0) + now - self._since
        self._since = now


def total(laps: Iterable[Mapping[str, float]]) -> dict[str, float]:
    """The sum of several stopwatches' seconds by name."""
    seconds: Counter[str] = Counter()
    for each in laps:
        seconds.update(each)
    return dict(seconds)


def by_stage(seconds: Mapping[str, float]) -> dict[str, float]:
    """Seconds of every stage, in their order; empty where nothing was measured."""
    if not seconds:
        return {}
    augmenting = sum(by_operation(seconds).values())
    return {name: augmenting if name == AUGMENT else seconds.get(name, 0.0) for name in STAGES}


def by_operation(seconds: Mapping[str, float]) -> dict[str, float]:
    """Seconds of augmenting by operation, the most expensive first."""
    operations = {name: spent for name, spent in seconds.items() if name not in STAGES}
    return dict(sorted(operations.items(), key=lambda item: -item[1]))


def table(stages: Mapping[str, float], operations: Mapping[str, float]) -> str:
    """A line a stage, operations below theirs; what took no time to speak of is left out."""
    whole = sum(stages.values()) or 1.0
    rows = []
    for stage, spent in stages.items():
        rows.append((stage, spent))
        if stage == AUGMENT:
            rows += [(f"  {name}", part) for name, part in operations.items()]
    return "\n".join(
        f"{name:<28}{spent:>10.2f} s{spent / whole:>7.1%}"
        for name, spent in rows
        if spent >= NEGLIGIBLE * whole
    )
