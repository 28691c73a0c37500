"""Whether a process was killed because memory had run out, which SIGKILL alone does not show."""

from __future__ import annotations

from trainer.monitoring.memory_pressure import killed_for_memory


class MemoryKills:
    """Counts the processes that this control group's memory limit has killed since its creation."""

    def __init__(self) -> None:
        self._before = killed_for_memory()

    def note(self) -> str:
        """`; the memory limit killed a process`, or '' if none was killed or none is counted."""
        now = killed_for_memory()
        if self._before is None or now is None or now <= self._before:
            return ""
        count = now - self._before
        return f"; the memory limit killed {'a process' if count == 1 else f'{count} processes'}"
