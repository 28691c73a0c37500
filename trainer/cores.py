"""How many processor cores this process may keep busy: the container's limit, not the machine's."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

from trainer import memory


def available_cores() -> float:
    """The least of the cores it may run on and the shares of time its containers give it."""
    return min([len(os.sched_getaffinity(0)), *_limits()])


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
