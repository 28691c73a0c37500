"""What every back end can do, and what it says of a run."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterator
from typing import Protocol

from launch.records import Record

# States of a run and of a rank. A run that is between two lives of its gang is running.
PENDING, RUNNING, SUSPENDED = "pending", "running", "suspended"
SUCCEEDED, FAILED, STOPPED = "succeeded", "failed", "stopped"
FINISHED = (SUCCEEDED, FAILED, STOPPED)


@dataclasses.dataclass(frozen=True)
class Rank:
    """One worker of a run, in its present life."""

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
    restarts: int = 0  # counted ones
    interruptions: int = 0  # not counted: exit code 75, a drained node
    started: float | None = None  # seconds since the epoch
    finished: float | None = None
    detail: str = ""


@dataclasses.dataclass(frozen=True)
class LogLine:
    """A line that a rank wrote."""

    rank: int
    text: str


class Backend(Protocol):
    """Starts and watches runs in one kind of place."""

    def files(self, record: Record) -> dict[str, str]:
        """What would be submitted, by file name: manifests or a batch script."""

    def submit(self, record: Record) -> str:
        """Starts what a record describes and returns its handle; a second time is harmless."""

    def status(self, record: Record) -> Status:
        """How a run is."""

    def logs(
        self, record: Record, ranks: Collection[int] | None, follow: bool, previous: bool
    ) -> Iterator[LogLine]:
        """Lines of some ranks, or of all; of the life before the present one with `previous`."""

    def stop(self, record: Record) -> None:
        """Ends a run for good: SIGTERM, the grace period, SIGKILL."""

    def suspend(self, record: Record) -> None:
        """Ends the workers, which save; resume() goes on."""

    def resume(self, record: Record) -> None:
        """Starts the workers of a suspended run again."""

    def why(self, record: Record) -> str:
        """One line: why it waits, or which rank failed first and what it said last."""
