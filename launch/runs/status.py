"""The state of a run and its ranks, in terms common to all back ends."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection

# States of a run and of a rank. A run that is between two attempts is running.
PENDING, RUNNING, SUSPENDED = "pending", "running", "suspended"
SUCCEEDED, FAILED, STOPPED = "succeeded", "failed", "stopped"
# Unknown to the cluster: it never existed there, or was deleted.
NOT_SENT, GONE = "not sent", "gone"
# What stands for a rank in the log lines of the follower that --augment_workers has started.
FOLLOWER = -1
FOLLOWER_RUNS = "running"
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
    follower: str = ""  # of a run with --augment_workers, while it runs


def with_follower_state(words: str, follower: str) -> str:
    """`launch why` of a run, with the state of a follower that does not run: the training waits."""
    return words if follower in ("", FOLLOWER_RUNS) else f"{words}; follower: {follower}"


@dataclasses.dataclass(frozen=True)
class LogQuery:
    """Which lines of a run's logs are wanted.

    Attributes:
      ranks: whose, FOLLOWER among them; None = everyone's.
      follow: also those to come, until the run is over.
      previous: of the attempt before the current one, without following; the follower has none.
      tail: of what is already there at most so many of each rank, its last ones; 0 = all.
    """

    ranks: Collection[int] | None = None
    follow: bool = False
    previous: bool = False
    tail: int = 0

    def has(self, rank: int) -> bool:
        """Whether lines of a rank are wanted."""
        return self.ranks is None or rank in self.ranks


@dataclasses.dataclass(frozen=True)
class LogLine:
    """A line that a rank wrote."""

    rank: int  # or FOLLOWER
    text: str
