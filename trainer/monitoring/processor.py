"""What of this machine's processor a training takes, and what everybody else does."""

from __future__ import annotations

import os
import time
from pathlib import Path

from trainer.monitoring.cores import throttling, wanted_cores

OWN, OTHERS = "processor_fraction", "processor_others_fraction"
# Of the periods in which a container's CPU limit is counted, those in which it was held back.
THROTTLED = "processor_throttled_fraction"
# The cores that it wanted in them.
WANTED = "processor_wanted_cores"
_STAT = Path("/proc/stat")
_TICKS = os.sysconf("SC_CLK_TCK")  # a second, of each core
_LEAST_TICKS = 50  # below, counting in ticks is too coarse
_IDLE = (3, 4)  # of the numbers of a line: idle, and waiting for a disk


class ProcessorMonitor:
    """Counts from restart() on. Free: nothing runs meanwhile.

    Args:
      alone: whether the run has no other process on this machine; the other processes' share is
        not known where it has.
    """

    def __init__(self, alone: bool = True) -> None:
        self._alone = alone
        self.restart()

    def restart(self) -> None:
        """Forgets what was before."""
        self._own, self._machine = time.process_time(), _ticks()
        self._limit = throttling()

    def figures(self) -> dict[str, float | None]:
        """OWN and OTHERS, shares of all cores of the machine, THROTTLED and WANTED; None if they
        are not known.
        """
        return self._shares() | self._limited()

    def _limited(self) -> dict[str, float | None]:
        before, now = self._limit, throttling()
        if before is None or now is None or now.periods <= before.periods:
            return dict.fromkeys((THROTTLED, WANTED))
        held_back = (now.held_back - before.held_back) / (now.periods - before.periods)
        return {THROTTLED: held_back, WANTED: wanted_cores(before, now)}

    def _shares(self) -> dict[str, float | None]:
        before, now = self._machine, _ticks()
        if before is None or now is None or not self._alone:
            return dict.fromkeys((OWN, OTHERS))
        busy, total = now[0] - before[0], now[1] - before[1]
        if total < _LEAST_TICKS:
            return dict.fromkeys((OWN, OTHERS))
        own = (time.process_time() - self._own) * _TICKS / total
        return {OWN: own, OTHERS: max(0.0, busy / total - own)}


def _ticks() -> tuple[int, int] | None:
    """(busy, all) ticks of all cores since the machine started; None if it is not available."""
    try:
        with open(_STAT, encoding="ascii") as file:
            # user nice system idle iowait irq softirq steal; what guests take is in the first two.
            numbers = [int(field) for field in file.readline().split()[1:9]]
    except (OSError, ValueError):
        return None
    if len(numbers) <= max(_IDLE):
        return None
    return sum(numbers) - sum(numbers[column] for column in _IDLE), sum(numbers)
