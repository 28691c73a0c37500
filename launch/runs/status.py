"""The state of a run and its ranks, in terms common to all back ends."""

from __future__ import annotations

import dataclasses

# States of a run and of a rank. A run that is between two attempts is running.
PENDING, RUNNING, SUSPENDED = "pending", "running", "suspended"
SUCCEEDED, FAILED, STOPPED = "succeeded", "failed", "stopped"
# Unknown to the cluster: it never existed there, or was deleted.
NOT_SENT, GONE = "not sent", "gone"
FINISHED = (SUCCEEDED, FAILED, STOPPED, NOT_SENT, GONE)


@dataclasses.dataclass(frozen=True)
class Rank:
    """One worker of a run, in its current attempt."""

    rank: int
    state: str
    exit_code: int | None = None
    host: str = ""
    detail: str = ""  # in short, why it is pending or failed


@dataclasses.dataclass(frozen=True)
class Status:
    """A back end's view of a run; always derived, never stored."""

    state: str
    ranks: tuple[Rank, ...] = ()
    restarts: int = 0  # that were counted
    interruptions: int = 0  # restarts that were not counted: exit codes 75 and 76, a drained node
    failures: int = 0  # that were counted, including the one that ended the run
    started: float | None = None  # seconds since the epoch
    finished: float | None = None
    detail: str = ""


@dataclasses.dataclass(frozen=True)
class LogLine:
    """A line that a rank wrote."""

    rank: int
    text: str
