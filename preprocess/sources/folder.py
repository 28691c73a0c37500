"""Pictures in folders: which names exist, and that none of them leads out of the folder."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from typing import NamedTuple

from preprocess.errors import DataError, UsageError
from preprocess.refusals import Reason, Refused

PICTURE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".gif", ".tif", ".tiff")
_LITTER = frozenset({"thumbs.db", "desktop.ini"})


class Found(NamedTuple):
    """A file met on a walk: its path below the root, with `/`, and on disk."""

    relative: str
    path: str


def require_folder(path: str, flag: str) -> str:
    """The absolute path of an existing folder; a UsageError or DataError names the flag."""
    if not path:
        raise UsageError(f"{flag} is required for this source")
    if not os.path.isdir(path):
        kind = "is not a folder" if os.path.exists(path) else "does not exist"
        raise DataError(f"{flag}='{path}' {kind}")
    return os.path.realpath(path)


def inside(root: str, relative: str) -> str:
    """The path of a regular file named relative to `root` (a real path).

    An absolute name is taken where it points into `root`. Raises Refused for names that
    climb out (`../`, symlinks), that do not exist, and that are no regular file.
    """
    if "\0" in relative:
        raise Refused(Reason.BAD_ID, "the name has the character U+0000")
    path = os.path.normpath(os.path.join(root, relative))
    if not _below(root, path):
        raise Refused(Reason.OUTSIDE_FOLDER, "the name leads out of the picture folder")
    try:
        # realpath resolves every symlink on the way, so a link cannot lead out either.
        if not _below(root, os.path.realpath(path)):
            raise Refused(Reason.OUTSIDE_FOLDER, "a symbolic link leads out of the picture folder")
        mode = os.stat(path).st_mode
    except (FileNotFoundError, NotADirectoryError):
        raise Refused(Reason.MISSING_PICTURE, "no such file") from None
    except OSError as error:
        raise Refused(Reason.UNREADABLE_FILE, error.strerror or "unreadable") from None
    if not stat.S_ISREG(mode):
        # A FIFO would block the build for ever; a device would never end.
        raise Refused(Reason.UNREADABLE_FILE, "not a regular file")
    return path


def walk(root: str) -> Iterator[Found]:
    """Every file below `root` in sorted order. Hidden files and the litter that desktops
    leave are passed over; links to folders are not followed.
    """
    for folder, folders, files in os.walk(root, onerror=_unreadable):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            if name.startswith(".") or name.lower() in _LITTER:
                continue
            path = os.path.join(folder, name)
            yield Found(os.path.relpath(path, root).replace(os.sep, "/"), path)


def _unreadable(error: OSError) -> None:
    raise DataError(f"cannot read the folder '{error.filename}': {error.strerror}")


def _below(root: str, path: str) -> bool:
    return path == root or path.startswith(root.rstrip(os.sep) + os.sep)
