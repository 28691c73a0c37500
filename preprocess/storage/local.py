"""Files on a local disk, or on one that is mounted: durable, atomic, locked with flock."""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from io import BufferedIOBase

from preprocess.storage.contract import Info, LockHeld


def make_folder(path: str) -> None:
    """Makes the folder and those above it."""
    os.makedirs(path, exist_ok=True)


def names(folder: str) -> list[str]:
    """Names of the files and folders directly in a folder."""
    with contextlib.suppress(FileNotFoundError):
        return os.listdir(folder)
    return []


def tree(folder: str) -> Iterator[tuple[str, Info]]:
    """(path relative to the folder, what is known) of every file below."""
    for parent, _, files in os.walk(folder):
        for name in files:
            path = os.path.join(parent, name)
            with contextlib.suppress(FileNotFoundError):  # gone since it was listed
                status = os.stat(path, follow_symlinks=False)
                relative = os.path.relpath(path, folder).replace(os.sep, "/")
                yield relative, Info(status.st_size, status.st_mtime_ns)


def size(path: str) -> int:
    """Bytes of a file."""
    return os.path.getsize(path)


def stat(path: str) -> Info:
    """What is known of a file."""
    status = os.stat(path)
    return Info(status.st_size, status.st_mtime_ns)


def read(path: str, offset: int, length: int | None) -> bytes:
    """`length` bytes from `offset` on; None = to the end."""
    with open(path, "rb") as file:
        file.seek(offset)
        return file.read(-1 if length is None else length)


def open_read(path: str) -> BufferedIOBase:
    """The file, opened."""
    return open(path, "rb")


class Pending:
    """A file under a temporary name beside its own, synced to disk before it is renamed."""

    def __init__(self, path: str, temporary: str = "") -> None:
        self._path = path
        # Not the process id: in containers that share a disk all are number 1.
        self._temporary = temporary or f"{path}.tmp-{secrets.token_hex(4)}"
        os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
        self.file = open(self._temporary, "w+b")  # noqa: SIM115 - closed in discard

    def publish(self) -> None:
        """Syncs and renames."""
        self.file.flush()
        os.fsync(self.file.fileno())
        self.file.close()
        os.replace(self._temporary, self._path)

    def discard(self) -> None:
        """Closes the file and removes what was not published."""
        with contextlib.suppress(OSError):  # a full disk refuses the rest of the buffer again
            self.file.close()
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._temporary)


create = Pending


def sync_folders(folders: Iterable[str]) -> None:
    """Waits until the disk knows the names in these folders."""
    for folder in folders:
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def write_unsynced(files: Mapping[str, Callable[[], str]]) -> None:
    """Writes texts as they are, without waiting for the disk."""
    for path, text in files.items():
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8", newline="\n") as file:
            file.write(text())


def remove(path: str) -> None:
    """Removes a file; harmless where there is none."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)


def remove_tree(folder: str) -> None:
    """Removes a folder and all that is in it."""
    shutil.rmtree(folder, ignore_errors=True)


def remove_empty_folders(folder: str) -> None:
    """Removes the folders at and below `folder` in which no file is left."""
    for parent, _, _ in os.walk(folder, topdown=False):
        with contextlib.suppress(OSError):  # not empty
            os.rmdir(parent)


class Flock:
    """A lock that the kernel holds for this process, for as long as it lives."""

    def check(self) -> None:
        """Nobody can take it away."""


@contextlib.contextmanager
def lock(path: str, owner: str) -> Iterator[Flock]:
    """Holds flock on a file; raises LockHeld where another process has it. `owner` is not
    needed: a lock that is held is held by a living process.
    """
    with open(path, "w", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise LockHeld("a process of a machine that sees this disk") from None
        yield Flock()
