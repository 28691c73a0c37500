"""How many processor cores this process may keep busy: the container's limit, not the machine's."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

from trainer.monitoring import memory


def available_cores() -> float:
    """The least of the cores it may run on and the shares of time its containers give it."""
    return min([len(os.sched_getaffinity(0)), *_limits()])


def throttled_periods() -> tuple[int, int] | None:
    """(periods in which the container was held back, all periods) of its CPU limit since it began,
    of the group that was held back most; None if there is no limit, or no right to read.
    """
    found = []
    for group, _ in memory.groups("cpu"):
        with contextlib.suppress(OSError, ValueError, KeyError):
            lines = (group / "cpu.stat").read_text(encoding="ascii").splitlines()
            stat = dict(line.split(maxsplit=1) for line in lines)
            found.append((int(stat["nr_throttled"]), int(stat["nr_periods"])))
    return max((each for each in found if each[1]), default=None)


def _limits() -> Iterator[float]:
    for group, version in memory.groups("cpu"):
        # "max", or -1, is no limit.
        with contextlib.suppress(OSError, ValueError):
            if version == 2:
                quota, period = (group / "cpu.max").read_text(encoding="ascii").split()
            else:
                quota = (group / "cpu.cfs_quota_us").read_text(encoding="ascii")
                period = (group / "cpu.cfs_period_us").read_text(encoding="ascii")
            if int(quota) > 0:
                yield int(quota) / int(period)
