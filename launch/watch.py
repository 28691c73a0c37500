"""Waiting for a run, and following what its ranks write."""

from __future__ import annotations

import time

from launch.backends.base import FINISHED, SUCCEEDED, LogLine, Status
from launch.backends.choose import backend
from launch.records import Record
from trainer.cli import say

POLL_SECONDS = 1.0


def wait(record: Record, timeout: float | None = None) -> bool:
    """Waits for a run's end and says how it ended; whether it succeeded.

    Raises TimeoutError where it is not over after `timeout` seconds.
    """
    chosen = backend(record.spec.backend)
    end = None if timeout is None else time.monotonic() + timeout
    said = ""
    while True:
        status = chosen.status(record)
        if (words := summary(status)) != said:
            say(f"{record.name}: {words}")
            said = words
        if status.state in FINISHED:
            return status.state == SUCCEEDED
        if end is not None and time.monotonic() > end:
            raise TimeoutError(f"{record.name} is still {status.state} after {timeout:.0f} s")
        time.sleep(POLL_SECONDS)


def follow(record: Record) -> None:
    """Prints what every rank writes until the run is over."""
    for line in backend(record.spec.backend).logs(record, None, follow=True, previous=False):
        print(prefixed(line, record.spec.workers), flush=True)


def prefixed(line: LogLine, workers: int) -> str:
    """A line with its rank before it; of a single worker, as it is."""
    return line.text if workers == 1 else f"[{line.rank}] {line.text}"


def summary(status: Status) -> str:
    """A status in a few words."""
    parts = [status.state]
    if status.restarts:
        parts.append(f"{status.restarts} restarts")
    if status.interruptions:
        parts.append(f"{status.interruptions} interruptions")
    if status.detail:
        parts.append(status.detail)
    return ", ".join(parts)
