"""A memory limit as it is felt: what work stood still for it, and what was killed for it."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

from trainer.monitoring import memory

# Of the time, that in which some process of the container waited for memory to be freed or read
# back: the kernel's pressure stall information, "some".
STALLED = "memory_stalled_fraction"
MACHINE = Path("/proc/pressure/memory")
_EVENTS = {2: "memory.events", 1: "memory.oom_control"}


class MemoryMonitor:
    """Counts from restart() on. Free: nothing runs meanwhile."""

    def __init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        """Forgets what was before."""
        self._at, self._stalled = time.monotonic(), stalled_seconds()

    def figures(self) -> dict[str, float | None]:
        """STALLED; None if the kernel does not count it, or there is no right to read it."""
        before, now = self._stalled, stalled_seconds()
        passed = time.monotonic() - self._at
        if before is None or now is None or passed <= 0:
            return {STALLED: None}
        return {STALLED: min(1.0, max(0.0, now - before) / passed)}


def stalled_seconds() -> float | None:
    """Seconds in which some process of the innermost control group that counts it, or else of the
    machine, stood still for memory, since it began; None if it is not known.
    """
    for path in (*(group / "memory.pressure" for group, _ in memory.groups("memory")), MACHINE):
        with contextlib.suppress(OSError, ValueError):
            for line in path.read_text(encoding="ascii").splitlines():
                kind, *fields = line.split()
                if kind == "some":
                    values = dict(field.split("=", 1) for field in fields)
                    return int(values.get("total", "")) / 1e6  # microseconds
    return None


def killed_for_memory() -> int | None:
    """Processes that the innermost control group that counts them has lost to its memory limit
    since it began; None if it is not known.
    """
    return next(_kills(), None)


def _kills() -> Iterator[int]:
    for group, version in memory.groups("memory"):
        with contextlib.suppress(OSError, ValueError):
            lines = (group / _EVENTS[version]).read_text(encoding="ascii").splitlines()
            yield from (int(line.split()[1]) for line in lines if line.startswith("oom_kill "))
