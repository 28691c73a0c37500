"""Files on a local disk, or on one that is mounted: durable, atomic, locked."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import stat as stat_module
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from io import BufferedIOBase

from preprocess.shell import file_lock
from preprocess.shell.atomic import sync_folder, temporary_name
from preprocess.shell.cli import say
from preprocess.shell.errors import UsageError
from preprocess.shell.regular_files import open_regular
from preprocess.storage.contract import Info, LockHeld

LOCK_POLL_SECONDS = 1.0


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
    with open_regular(path) as file:
        file.seek(offset)
        return file.read(-1 if length is None else length)


def open_read(path: str) -> BufferedIOBase:
    """The file, opened."""
    return open_regular(path)


class Pending:
    """A file under a temporary name next to its own, synced to disk before it is renamed."""

    def __init__(self, path: str, temporary: str = "") -> None:
        self._path = path
        self._temporary = temporary or temporary_name(path)
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
        sync_folder(folder)


def write_unsynced(files: Mapping[str, Callable[[], str]]) -> None:
    """Writes texts as they are, without waiting for the disk."""
    for path, text in files.items():
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8", newline="\n") as file:
            file.write(text())


def remove(path: str) -> None:
    """Removes a file; harmless if there is none."""
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


class FileLock:
    """A lock on a file, for as long as this process lives."""

    def check(self) -> None:
        """Nobody can take it away."""


@contextlib.contextmanager
def lock(path: str, owner: str) -> Iterator[FileLock]:
    """Holds the lock on a file; raises LockHeld if another process has it. `owner` is not
    needed: a lock that is held is held by a living process.
    """
    try:
        # A link is not followed and a pipe not waited for: the folder may be a stranger's.
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        descriptor = os.open(path, flags, 0o666)
    except OSError as error:
        if error.errno not in (errno.ELOOP, errno.ENXIO, errno.EISDIR):
            raise
        raise UsageError(f"'{path}' is not a lock file but something else: remove it") from None
    try:
        if not stat_module.S_ISREG(os.fstat(descriptor).st_mode):
            raise UsageError(f"'{path}' is not a lock file but something else: remove it")
        with contextlib.ExitStack() as stack:
            try:
                stack.enter_context(file_lock.held(descriptor, path))
            except file_lock.HeldError as error:
                raise LockHeld(str(error)) from None
            yield FileLock()
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def turn(path: str, owner: str, notice: str) -> Iterator[FileLock]:
    """As `lock`, but waits for the process that has it, and logs `notice` once if it has to."""
    with contextlib.ExitStack() as stack:
        waiting = False
        while True:
            try:
                taken = stack.enter_context(lock(path, owner))
                break
            except LockHeld:
                if not waiting:
                    say(notice)
                waiting = True
                time.sleep(LOCK_POLL_SECONDS)
        yield taken


def links_out(folder: str) -> list[str]:
    """Links anywhere below a folder that lead out of it, relative to it."""
    root = os.path.realpath(folder)
    found = []
    for parent, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = os.path.join(parent, name)
            if os.path.islink(path):
                target = os.path.realpath(path)
                if os.path.commonpath([root, target]) != root:
                    found.append(os.path.relpath(path, folder))
    return found
