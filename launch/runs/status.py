"""How a run and its ranks are, in the words that every back end uses."""

from __future__ import annotations

import dataclasses

# States of a run and of a rank. A run that is between two attempts is running.
PENDING, RUNNING, SUSPENDED = "pending", "running", "suspended"
SUCCEEDED, FAILED, STOPPED = "succeeded", "failed", "stopped"
# Of which a cluster knows nothing: it was never there, or it is there no more.
NOT_SENT, GONE = "not sent", "gone"
FINISHED = (SUCCEEDED, FAILED, STOPPED, NOT_SENT, GONE)


@dataclasses.dataclass(frozen=True)
class Rank:
    """One worker of a run, in its present attempt."""

    rank: int
    state: str
    exit_code: int | None = None
    host: str = ""
    detail: str = ""  # why it is pending or failed, in a few words


@dataclasses.dataclass(frozen=True)
class Status:
    """What a back end knows of a run; derived from what is there, never stored."""

    state: str
    ranks: tuple[Rank, ...] = ()
    restarts: int = 0  # that were counted
    interruptions: int = 0  # restarts that were not: exit codes 75 and 76, a drained node
    failures: int = 0  # that were counted, the one that ended the run included
    started: float | None = None  # seconds since the epoch
    finished: float | None = None
    detail: str = ""


@dataclasses.dataclass(frozen=True)
class LogLine:
    """A line that a rank wrote."""

    rank: int
    text: str
