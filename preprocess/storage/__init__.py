"""Files on a local disk and objects on Google Cloud Storage, read and written by one set of names.

The only package that knows where a path leads: `gs://BUCKET/NAME` goes to gcs.py, everything else
to local.py; a path of either kind is joined with `os.path.join`. What is not there raises
FileNotFoundError on either side; a storage that cannot be reached raises StorageError after
retries, missing rights and credentials ConfigError: neither is an OSError, so that an outage is
never taken for a picture that cannot be read. Imports the shell only, and Google's libraries at the
first `gs://` path. Start reading at contract.py.
"""

# Local files are written under a temporary name, synced and renamed. An object store has no rename:
# what is to be written is gathered in a temporary file of this machine and uploaded once, under its
# final name, and appears there whole or not at all.
#
# Why not Beam's FileSystems: they open a new client, and with it a new connection, for every call;
# closing a file that a failed writer left half written publishes the half; and the lock needs
# preconditions, of which they have none.

from __future__ import annotations

import contextlib
import functools
import os
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from io import BufferedIOBase
from types import ModuleType

from preprocess.shell import quiet
from preprocess.shell.errors import UsageError
from preprocess.storage import local
from preprocess.storage.contract import Info, Lock, LockHeld, Pending

__all__ = ["Info", "Lock", "LockHeld", "Pending"]  # and every function below

REMOTE = "gs://"
READ_AHEAD = 32  # pictures asked for before they are needed: one takes 20 to 100 ms, not 0.1


def is_remote(path: str) -> bool:
    """Whether the path lies on an object store."""
    return path.startswith(REMOTE)


def absolute(path: str) -> str:
    """The path as every worker may use it: local ones absolute, `gs://` ones without a trailing
    slash. Raises UsageError for a scheme that is not supported.
    """
    if is_remote(path):
        return _backend(path).normal(path)
    scheme, separator, _ = path.partition("://")
    if separator and "/" not in scheme:
        raise UsageError(f"'{path}': {scheme}:// is not supported; local paths and {REMOTE} are")
    return os.path.abspath(path)


def make_folder(path: str) -> None:
    """Makes a local folder and those above it. An object store has none to make."""
    _backend(path).make_folder(path)


def names(folder: str) -> list[str]:
    """Names of the files and folders directly in a folder; none if there is no folder."""
    return _backend(folder).names(folder)


def tree(folder: str) -> dict[str, Info]:
    """Every file below a folder by its path relative to it, with `/`. One request a thousand."""
    return dict(_backend(folder).tree(folder))


def exists(path: str) -> bool:
    """Whether there is a file of this name."""
    return size_or_none(path) is not None


def size(path: str) -> int:
    """Bytes of a file; raises FileNotFoundError."""
    return _backend(path).size(path)


def stat(path: str) -> Info:
    """Size and version of a file; raises FileNotFoundError."""
    return _backend(path).stat(path)


def size_or_none(path: str) -> int | None:
    """Bytes of a file, None if there is none."""
    try:
        return size(path)
    except FileNotFoundError:
        return None


def read_bytes(path: str, limit: int | None = None) -> bytes:
    """A file's content, or its first `limit` bytes."""
    return _backend(path).read(path, 0, limit)


def read_range(path: str, offset: int, length: int) -> bytes:
    """`length` bytes from byte `offset` on, fewer where the file ends before."""
    return _backend(path).read(path, offset, length)


def read_text(path: str) -> str:
    """A small UTF-8 file's content."""
    return read_bytes(path).decode("utf-8")


def open_read(path: str) -> BufferedIOBase:
    """A file to read and seek in, to be closed. An object is fetched whole into a temporary file
    first, and its checksum checked.
    """
    return _backend(path).open_read(path)


def create(path: str) -> Pending:
    """Begins a file of which nothing is seen until `publish()`."""
    return _backend(path).create(path)


def write_bytes(path: str, data: bytes) -> None:
    """Writes a small file so that it is whole or absent, also after a power cut."""
    pending = create(path)
    try:
        pending.file.write(data)
        pending.publish()
    finally:
        pending.discard()


def write_text(path: str, text: str) -> None:
    """Writes a small UTF-8 file so that it is whole or absent, also after a power cut."""
    write_bytes(path, text.encode("utf-8"))


def sync_folders(folders: Collection[str]) -> None:
    """Waits until the names in these folders outlive a power cut: without it one rename may be
    undone by it, while a later one in another folder is not.
    """
    if folders:
        _backend(next(iter(folders))).sync_folders(folders)


def write_unsynced(files: Mapping[str, Callable[[], str]]) -> None:
    """Writes many small texts by path, side by side on an object store; each is asked for when its
    turn comes, so that they are never in memory together. After a power cut some of them may be
    missing: for what the next run writes again anyway.
    """
    if files:
        _backend(next(iter(files))).write_unsynced(files)


def remove(path: str) -> None:
    """Removes a file; harmless if there is none."""
    _backend(path).remove(path)


def remove_tree(folder: str) -> None:
    """Removes all that is below a folder."""
    _backend(folder).remove_tree(folder)


def remove_empty_folders(folder: str) -> None:
    """Removes local folders without files, the named one too. Objects have no folders."""
    _backend(folder).remove_empty_folders(folder)


def lock(path: str, owner: str) -> contextlib.AbstractContextManager[Lock]:
    """Holds a lock while the context lasts; raises LockHeld if another process has it.

    A local lock goes with its process. On an object store see `lease.py` for what is guaranteed.

    Args:
      path: of the lock, a file of its own.
      owner: what holds it, for the message that another process gets.
    """
    if not is_remote(path):
        return local.lock(path, owner)
    _objects()
    from preprocess.storage.lease import lease

    return lease(path, owner)


def read_many(
    paths: Iterable[str],
    limit: int | None = None,
    read: Callable[[str, int | None], bytes] = read_bytes,
) -> Iterator[bytes | OSError]:
    """The content (or the first `limit` bytes) of each file in their order, or the OSError that
    reading it raised. Objects are asked for READ_AHEAD in advance, which keeps a processor busy
    that would else wait for the network; local files are read when they are due. `read` may take
    paths of another form, of which those with REMOTE in them are objects.
    """
    remote: ThreadPoolExecutor | None = None
    waiting: deque[str | Future[bytes | OSError]] = deque()
    try:
        for path in paths:
            if REMOTE in path:
                if remote is None:
                    remote = ThreadPoolExecutor(READ_AHEAD, "read-ahead")
                waiting.append(remote.submit(_read_or_error, path, limit, read))
            else:
                waiting.append(path)
            if not isinstance(waiting[0], Future) or len(waiting) >= READ_AHEAD:
                yield _due(waiting.popleft(), limit, read)
        while waiting:
            yield _due(waiting.popleft(), limit, read)
    finally:
        if remote is not None:
            remote.shutdown(wait=False, cancel_futures=True)


def _due(
    next_: str | Future[bytes | OSError],
    limit: int | None,
    read: Callable[[str, int | None], bytes],
) -> bytes | OSError:
    return next_.result() if isinstance(next_, Future) else _read_or_error(next_, limit, read)


def _read_or_error(
    path: str, limit: int | None, read: Callable[[str, int | None], bytes]
) -> bytes | OSError:
    try:
        return read(path, limit)
    except OSError as error:
        return error


def _backend(path: str) -> ModuleType:
    return _objects() if is_remote(path) else local


@functools.cache
def _objects() -> ModuleType:
    """The module for objects, opened once a process: half a second of imports that local paths
    never pay. Its connection, too, is one for the process and all its threads.
    """
    quiet.hush()
    from preprocess.storage import gcs

    return gcs
