"""Opening files that a stranger may have put there: regular files only, of a bounded size.

Opening a pipe waits for its other end forever, a device may never end, and a file of 40 GB with a
picture's name would be read whole.
"""

from __future__ import annotations

import errno
import json
import os
import stat
from collections.abc import Iterator
from io import BufferedReader
from typing import Any, TextIO

from preprocess.shell.errors import DataError

MAX_JSON_BYTES = 64 << 20


class NotRegularFileError(OSError):
    """A pipe, socket, device or folder where a file should be."""

    def __init__(self, path: str) -> None:
        super().__init__(errno.EINVAL, "not a regular file", path)


class FileTooLargeError(OSError):
    """A file above the limit of its reader."""

    def __init__(self, path: str, size: int, limit: int) -> None:
        super().__init__(errno.EFBIG, f"{size} bytes, {limit} are allowed", path)


def open_regular(
    path: str | os.PathLike[str], limit: int | None = None, follow: bool = True
) -> BufferedReader:
    """Opens a file for reading; never waits.

    Args:
      path: of the file.
      limit: of its size in bytes; None = any size.
      follow: whether it may be a link.

    Raises:
      NotRegularFileError: it is something else.
      FileTooLargeError: it has more than `limit` bytes.
      OSError: as open() does.
    """
    # Without O_NONBLOCK, opening a pipe waits for somebody who writes into it.
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | (0 if follow else os.O_NOFOLLOW)
    descriptor = os.open(path, flags)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise NotRegularFileError(os.fspath(path))
        if limit is not None and status.st_size > limit:
            raise FileTooLargeError(os.fspath(path), status.st_size, limit)
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def read_regular(path: str | os.PathLike[str], limit: int, follow: bool = True) -> bytes:
    """A whole file of at most `limit` bytes; raises as open_regular() does."""
    with open_regular(path, limit, follow) as file:
        return file.read()


def read_json(
    path: str | os.PathLike[str], limit: int = MAX_JSON_BYTES, follow: bool = True
) -> dict[str, Any]:
    """The JSON object in a file.

    Raises:
      FileNotFoundError: there is none.
      DataError: it cannot be read, or is no JSON object.
    """
    try:
        value = json.loads(read_regular(path, limit, follow))
    except FileNotFoundError:
        raise
    except RecursionError:
        raise DataError(f"'{path}' is nested too deeply") from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise DataError(f"'{path}' cannot be read: {reason}") from None
    if not isinstance(value, dict):
        raise DataError(f"'{path}' holds no JSON object")
    return value


def append_regular(path: str | os.PathLike[str]) -> TextIO:
    """Opens a text file to add lines to, each written at once; makes it if there is none.

    Raises:
      NotRegularFileError: it is something else. OSError: as open() does; a link is not followed.
    """
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    descriptor = os.open(path, flags, 0o666)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise NotRegularFileError(os.fspath(path))
    return os.fdopen(descriptor, "a", encoding="utf-8", buffering=1)


def odd_entries(folder: str | os.PathLike[str], depth: int | None = None) -> Iterator[str]:
    """What below a folder is no file or folder of it: links that lead out, pipes, sockets, devices.

    A program that writes into the folder of a stranger's would write through such a link to
    another place, and wait at such a pipe forever.

    Args:
      folder: there already; it may be a link itself.
      depth: levels that are looked at; None = all.

    Yields:
      Paths relative to the folder.

    Raises:
      OSError: a folder cannot be listed.
    """
    root = os.path.realpath(folder)
    levels = [("", 1)]
    while levels:
        above, level = levels.pop()
        with os.scandir(os.path.join(folder, above)) as entries:
            for entry in entries:
                relative = os.path.join(above, entry.name)
                if entry.is_symlink():
                    target = os.path.realpath(entry.path)
                    if os.path.commonpath([root, target]) != root:
                        yield relative
                elif entry.is_dir(follow_symlinks=False):
                    if depth is None or level < depth:
                        levels.append((relative, level + 1))
                elif not entry.is_file(follow_symlinks=False):
                    yield relative
