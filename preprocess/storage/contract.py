"""What the two kinds of storage have in common, as types."""

from __future__ import annotations

from io import BufferedIOBase
from typing import NamedTuple, Protocol


class Info(NamedTuple):
    """What a listing says of a file or object."""

    size: int  # bytes
    version: int  # changes with the content: modification time in ns, or an object's generation
    crc32c: str = ""  # base64, of objects; "" for files


class Pending(Protocol):
    """A file that is being written and does not exist under its name yet."""

    file: BufferedIOBase

    def publish(self) -> None:
        """Makes what was written appear under its name, whole."""

    def discard(self) -> None:
        """Forgets what was not published; harmless after publish()."""


class Lock(Protocol):
    """A lock that is held."""

    def check(self) -> None:
        """Raises StorageError if the lock is no longer this process's."""


class LockHeld(Exception):
    """Another process holds the lock; the message says who, and how to be rid of a dead one."""
