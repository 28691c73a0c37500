"""The lock that the supervisor of a local run holds as long as it lives."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

from launch.runs.records import Record
from preprocess.shell import file_lock
from preprocess.shell.errors import UsageError

LOCK = "supervisor.lock"


def supervised(record: Record) -> bool:
    """Whether the supervisor of a run lives."""
    try:
        path = record.folder / LOCK
        with open(path, "r+b") as lock, file_lock.held(lock.fileno(), str(path)):
            return False
    except FileNotFoundError:
        return False
    except file_lock.HeldError:
        return True


@contextlib.contextmanager
def supervising(record: Record) -> Iterator[None]:
    """Holds the lock and publishes the process id; raises UsageError if it is held already."""
    with open(record.folder / LOCK, "a+b") as lock, contextlib.ExitStack() as stack:
        try:
            stack.enter_context(file_lock.held(lock.fileno(), str(record.folder / LOCK)))
        except file_lock.HeldError:
            raise UsageError(f"run '{record.name}' already has a supervisor") from None
        lock.truncate(0)
        lock.write(str(os.getpid()).encode())
        lock.flush()
        yield
