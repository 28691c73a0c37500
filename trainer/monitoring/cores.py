"""How many processor cores this process may keep busy: the container's limit, not the machine's."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator
from typing import NamedTuple

from trainer.monitoring import memory

# In cpu.stat of each version: how long cores stood still, and the seconds in one of its units.
_STOOD_STILL = {2: ("throttled_usec", 1e-6), 1: ("throttled_time", 1e-9)}


def available_cores() -> float:
    """The least of the cores it may run on and the shares of time its containers give it."""
    return min([len(os.sched_getaffinity(0)), *(cores for cores, _ in _limits())])


class Throttling(NamedTuple):
    """What a CPU limit has done since its group was made.

    Attributes:
      held_back: periods in which the limit was reached.
      periods: all in which there was work.
      seconds: that cores stood still for it, of all cores together; None = not counted.
    """

    held_back: int
    periods: int
    seconds: float | None = None


def throttling() -> Throttling | None:
    """Of the group that was held back most; None if there is no limit, or no right to read."""
    found = []
    for group, version in memory.groups("cpu"):
        with contextlib.suppress(OSError, ValueError, KeyError):
            lines = (group / "cpu.stat").read_text(encoding="ascii").splitlines()
            stat = dict(line.split(maxsplit=1) for line in lines)
            name, unit = _STOOD_STILL[version]
            seconds = int(stat[name]) * unit if name in stat else None
            found.append(Throttling(int(stat["nr_throttled"]), int(stat["nr_periods"]), seconds))
    return max((each for each in found if each.periods), key=lambda x: x[:2], default=None)


def wanted_cores(before: Throttling, now: Throttling) -> float | None:
    """The cores that a container wanted while its CPU limit held it back, between two moments.

    While it may run, it uses as many cores as it wants, k, and so its quota q of a period is used
    up after q / k of it. The cores it was running on stand still for the rest, which the kernel
    adds up over cores: T = max(k, 1) (1 - q / k) of the period. So k = q + T, or q / (1 - T) where
    it wants less than one core. None if it was not held back, or the time is not counted.
    """
    limit = _tightest()
    held_back = now.held_back - before.held_back
    if limit is None or held_back <= 0 or now.seconds is None or before.seconds is None:
        return None
    quota, period = limit
    still = (now.seconds - before.seconds) / (held_back * period)
    return quota + still if quota + still >= 1 else quota / (1 - still)


def shared_cores_number() -> int:
    """32 bits, the same for processes of a machine that compete for the same cores: those that may
    run on the same ones, and whose CPU limit, where they have one, is the same control group's.
    """
    limited = ""
    if _tightest() is not None:
        limited = "".join(f"{group}" for group, _ in memory.groups("cpu"))
        with contextlib.suppress(OSError):
            limited += str(os.stat(memory.NAMESPACE).st_ino)
    told = f"{sorted(os.sched_getaffinity(0))} {limited}"
    return int.from_bytes(hashlib.sha256(told.encode()).digest()[:4])


def _limits() -> Iterator[tuple[float, float]]:
    """(cores, seconds of a period) of each group that has a limit."""
    for group, version in memory.groups("cpu"):
        # "max", or -1, is no limit.
        with contextlib.suppress(OSError, ValueError):
            if version == 2:
                quota, period = (group / "cpu.max").read_text(encoding="ascii").split()
            else:
                quota = (group / "cpu.cfs_quota_us").read_text(encoding="ascii")
                period = (group / "cpu.cfs_period_us").read_text(encoding="ascii")
            if int(quota) > 0:
                yield int(quota) / int(period), int(period) / 1e6


def _tightest() -> tuple[float, float] | None:
    return min(_limits(), default=None)
