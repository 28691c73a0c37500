"""Waiting for a run, and following its ranks' output."""

from __future__ import annotations

import time

from launch.backends.base import backend_of
from launch.runs import outage
from launch.runs.records import Record
from launch.runs.status import FINISHED, FOLLOWER, SUCCEEDED, LogLine, LogQuery, Status
from preprocess.shell.cli import say
from preprocess.shell.errors import UnavailableError

POLL_SECONDS = 1.0


def wait(record: Record, timeout: float | None = None) -> bool:
    """Waits for a run's end and reports how it ended; returns whether it succeeded.

    Outages of the back end are waited out. Raises TimeoutError if it is not over after `timeout`
    seconds.
    """
    chosen = backend_of(record.spec)
    end = None if timeout is None else time.monotonic() + timeout
    said, state = "", "unreachable"
    while True:
        try:
            status = chosen.status(record)
        except UnavailableError as error:
            outage.wait_out(error)
        else:
            outage.over()
            state = status.state
            if (text := summary(status)) != said:
                say(f"{record.name}: {text}")
                said = text
            if state in FINISHED:
                return state == SUCCEEDED
        if end is not None and time.monotonic() > end:
            raise TimeoutError(f"{record.name} is still {state} after {timeout:.0f} s")
        time.sleep(POLL_SECONDS)


def follow(record: Record) -> None:
    """Prints every rank's output until the run is over."""
    for line in backend_of(record.spec).logs(record, LogQuery(follow=True)):
        print(prefixed(line, record.spec.workers), flush=True)


def prefixed(line: LogLine, workers: int) -> str:
    """A line prefixed with its rank, or the follower's; unchanged for a single worker."""
    if line.rank == FOLLOWER:
        return f"[follower] {line.text}"
    return line.text if workers == 1 else f"[{line.rank}] {line.text}"


def summary(status: Status) -> str:
    """A status in short."""
    parts = [status.state]
    numbers = {
        "restarts": status.restarts,
        "failures": status.failures,
        "interruptions": status.interruptions,
    }
    parts += [f"{number} {what}" for what, number in numbers.items() if number]
    if status.detail:
        parts.append(status.detail)
    return ", ".join(parts)
