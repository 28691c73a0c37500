"""The one argument of the commands that look at a run."""

from __future__ import annotations

from launch.records import Record, read_record
from trainer.errors import UsageError


def one_run(command: str, arguments: list[str]) -> Record:
    """The record of the run that is named; raises UsageError."""
    if len(arguments) != 1:
        raise UsageError(f"launch {command} RUN: one name or run directory")
    return read_record(arguments[0])
