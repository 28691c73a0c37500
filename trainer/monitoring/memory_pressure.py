"""A memory limit as it is felt: what work stood still for it, and what was killed for it."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

from trainer.monitoring import memory

# Of the time, that in which some process of the container waited for memory to be freed or read
# back: the kernel's pressure stall information, "some". Where only the machine counts it, it may be
# that of another container: it is taken where the machine itself has less memory left than this.
_SHORT = 0.10
STALLED = "memory_stalled_fraction"
# Of what this process read from storage, what had been in memory before: a memory limit had it
# dropped. It counts files that are mapped too, whose pages come back by major faults.
REREAD = "memory_reread_fraction"
MACHINE = Path("/proc/pressure/memory")
OWN_READS = Path("/proc/self/io")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_LEAST_READ_BYTES = 16 << 20  # below, what was read hardly matters
_EVENTS = {2: "memory.events", 1: "memory.oom_control"}


class MemoryMonitor:
    """Counts from restart() on. Free: nothing runs meanwhile."""

    def __init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        """Forgets what was before."""
        self._at, self._stalled = time.monotonic(), stalled_seconds()
        self._reads = _reads()

    def figures(self) -> dict[str, float | None]:
        """STALLED and REREAD; None if the kernel does not count it, there is no right to read it,
        or, for REREAD, no memory limit.
        """
        return {STALLED: self._share_stalled(), REREAD: self._share_reread()}

    def _share_stalled(self) -> float | None:
        before, now = self._stalled, stalled_seconds()
        passed = time.monotonic() - self._at
        if before is None or now is None or passed <= 0:
            return None
        (seconds, of_machine), (earlier, _) = now, before
        if of_machine and not _machine_is_short():
            return None
        return min(1.0, max(0.0, seconds - earlier) / passed)

    def _share_reread(self) -> float | None:
        before, now = self._reads, _reads()
        if before is None or now is None or memory.limit_bytes() is None:
            return None
        read = now[0] - before[0]
        return min(1.0, (now[1] - before[1]) / read) if read >= _LEAST_READ_BYTES else 0.0


def _machine_is_short() -> bool:
    free = memory.machine_share_available()
    return free is not None and free < _SHORT


def stalled_seconds() -> tuple[float, bool] | None:
    """Seconds in which some process of the innermost control group that counts it, or else of the
    machine, stood still for memory, since it began, and whether it is the machine's figure; None if
    it is not known.
    """
    for path in (*(group / "memory.pressure" for group, _ in memory.groups("memory")), MACHINE):
        with contextlib.suppress(OSError, ValueError):
            for line in path.read_text(encoding="ascii").splitlines():
                kind, *fields = line.split()
                if kind == "some":
                    values = dict(field.split("=", 1) for field in fields)
                    return int(values.get("total", "")) / 1e6, path == MACHINE  # microseconds
    return None


def _reads() -> tuple[int, int] | None:
    """(bytes that this process has read from storage, those of its control group's files that came
    back after they had been dropped), both so far; None if one is not known.
    """
    name = "workingset_refault_file"
    back = memory.counted(name, f"total_{name}")
    if back is None:
        return None
    with contextlib.suppress(OSError, ValueError):
        for line in OWN_READS.read_text(encoding="ascii").splitlines():
            if line.startswith("read_bytes: "):
                return int(line.split()[1]), back * _PAGE_BYTES
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
