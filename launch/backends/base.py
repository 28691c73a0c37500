"""The interface of every back end."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from launch.runs.records import Record
from launch.runs.status import LogLine, LogQuery, Status
from launch.spec import Spec
from preprocess.shell.errors import UserError


class NotSent(UserError):
    """A run was rejected, and nothing of it is left where it should have run."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class Backend(Protocol):
    """Starts and watches runs in one kind of place."""

    def files(self, record: Record) -> dict[str, str]:
        """What would be submitted, by file name: manifests or a batch script."""

    def submit(self, record: Record) -> str:
        """Starts the run of a record and returns its handle; calling it again is harmless."""

    def status(self, record: Record) -> Status:
        """The state of a run."""

    def logs(self, record: Record, wanted: LogQuery) -> Iterator[LogLine]:
        """The lines that are wanted; with `follow`, until the run is over."""

    def stop(self, record: Record) -> None:
        """Ends a run permanently: SIGTERM, the grace period, SIGKILL."""

    def suspend(self, record: Record) -> None:
        """Stops the workers, which save; resume() continues."""

    def resume(self, record: Record) -> None:
        """Restarts the workers of a suspended run."""

    def why(self, record: Record) -> str:
        """One line: why it waits, or which rank failed first and its last message."""


def backend_of(spec: Spec) -> Backend:
    """The back end that a specification names; imports only what that one needs."""
    started: Backend = spec.kind.start()
    return started
