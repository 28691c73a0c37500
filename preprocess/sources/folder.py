"""Pictures in folders: which names exist, and that none of them leads out of the folder."""

from __future__ import annotations

import bisect
import os
import posixpath
import stat
from collections.abc import Iterator
from typing import Protocol

from preprocess import storage
from preprocess.errors import DataError, UsageError
from preprocess.refusals import Reason, Refused

PICTURE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".gif", ".tif", ".tiff")
_LITTER = frozenset({"thumbs.db", "desktop.ini"})


class Folder(Protocol):
    """The folder that the paths of a source are relative to."""

    root: str

    def inside(self, relative: str) -> str:
        """The path of a regular file named relative to the folder.

        An absolute name is taken where it points into the folder. Raises Refused for names that
        climb out (`../`, symlinks), that do not exist, and that are no regular file.
        """

    def relative(self, absolute: str) -> str:
        """The name below the folder of an absolute path; it may climb out with `../`."""

    def walk(self, below: str) -> Iterator[str]:
        """The name relative to `below`, with `/`, of every file under that subfolder: a folder's
        files sorted, then its folders. Hidden files and the litter that desktops leave are passed
        over; links to folders are not followed.
        """

    def folders(self, below: str = "") -> list[str]:
        """Sorted names of the subfolders, hidden ones left out."""

    def files(self, below: str = "") -> list[str]:
        """Names of the files, in any order."""

    def stat(self, path: str) -> storage.Info:
        """Size and version of a file that `inside` returned; raises OSError where it is gone."""


def open_folder(path: str, flag: str) -> Folder:
    """An existing folder; a UsageError or DataError names the flag."""
    if not path:
        raise UsageError(f"{flag} is required for this source")
    if storage.is_remote(path):
        listing = storage.tree(path)
        if not listing:
            raise DataError(f"{flag}='{path}' does not exist: no object has a name below it")
        return RemoteFolder(storage.absolute(path), listing)
    if not os.path.isdir(path):
        kind = "is not a folder" if os.path.exists(path) else "does not exist"
        raise DataError(f"{flag}='{path}' {kind}")
    return LocalFolder(os.path.realpath(path))


class LocalFolder:
    """A folder on a disk."""

    def __init__(self, root: str) -> None:
        self.root = root  # a real path

    def inside(self, relative: str) -> str:
        """See Folder."""
        if "\0" in relative:
            raise Refused(Reason.BAD_ID, "the name has the character U+0000")
        path = os.path.normpath(os.path.join(self.root, relative))
        if not _below(self.root, path):
            raise Refused(Reason.OUTSIDE_FOLDER, "the name leads out of the picture folder")
        try:
            # realpath resolves every symlink on the way, so a link cannot lead out either.
            if not _below(self.root, os.path.realpath(path)):
                raise Refused(
                    Reason.OUTSIDE_FOLDER, "a symbolic link leads out of the picture folder"
                )
            mode = os.stat(path).st_mode
        except (FileNotFoundError, NotADirectoryError):
            raise Refused(Reason.MISSING_PICTURE, "no such file") from None
        except OSError as error:
            raise Refused(Reason.UNREADABLE_FILE, error.strerror or "unreadable") from None
        if not stat.S_ISREG(mode):
            # A FIFO would block the build for ever; a device would never end.
            raise Refused(Reason.UNREADABLE_FILE, "not a regular file")
        return path

    def relative(self, absolute: str) -> str:
        """See Folder."""
        # `root` is a real path; the user may name it through a link to it.
        folder, file = os.path.split(os.path.normpath(absolute))
        return os.path.relpath(os.path.join(os.path.realpath(folder), file), self.root)

    def walk(self, below: str) -> Iterator[str]:
        """See Folder."""
        base = os.path.join(self.root, below)
        for folder, folders, files in os.walk(base, onerror=_unreadable):
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            for name in sorted(files):
                if not _passed_over(name):
                    path = os.path.join(folder, name)
                    yield os.path.relpath(path, base).replace(os.sep, "/")

    def folders(self, below: str = "") -> list[str]:
        """See Folder."""
        with os.scandir(os.path.join(self.root, below)) as entries:
            return sorted(e.name for e in entries if e.is_dir() and not e.name.startswith("."))

    def files(self, below: str = "") -> list[str]:
        """See Folder."""
        with os.scandir(os.path.join(self.root, below)) as entries:
            return [entry.name for entry in entries if not entry.is_dir()]

    def stat(self, path: str) -> storage.Info:
        """See Folder."""
        return storage.stat(path)


class RemoteFolder:
    """A prefix of an object store: one listing answers everything, whatever the pictures' number.

    There are no links, and `..` is a name like others; a name that climbs out is refused here as
    it is on a disk, so that a table means the same in both places.
    """

    def __init__(self, root: str, listing: dict[str, storage.Info]) -> None:
        self.root = root
        self._listing = listing
        self._sorted = sorted(listing)

    def inside(self, relative: str) -> str:
        """See Folder."""
        if "\0" in relative:
            raise Refused(Reason.BAD_ID, "the name has the character U+0000")
        name = posixpath.normpath(self.relative(relative))
        if name.startswith(("../", "/")) or name in ("..", "."):
            raise Refused(Reason.OUTSIDE_FOLDER, "the name leads out of the picture folder")
        if name not in self._listing:
            raise Refused(Reason.MISSING_PICTURE, "no such object")
        return f"{self.root}/{name}"

    def relative(self, absolute: str) -> str:
        """See Folder."""
        if not storage.is_remote(absolute):
            return absolute
        inside = absolute.startswith(f"{self.root}/")
        return absolute.removeprefix(f"{self.root}/") if inside else f"../{absolute}"

    def walk(self, below: str) -> Iterator[str]:
        """See Folder."""
        names = [name.split("/") for name in self._names(below)]
        # As on a disk: the files of a folder stand before its folders.
        names.sort(key=lambda parts: [*((1, part) for part in parts[:-1]), (0, parts[-1])])
        for parts in names:
            if not (any(p.startswith(".") for p in parts[:-1]) or _passed_over(parts[-1])):
                yield "/".join(parts)

    def folders(self, below: str = "") -> list[str]:
        """See Folder."""
        tops = {name.split("/")[0] for name in self._names(below) if "/" in name}
        return sorted(top for top in tops if not top.startswith("."))

    def files(self, below: str = "") -> list[str]:
        """See Folder."""
        return [name for name in self._names(below) if "/" not in name]

    def stat(self, path: str) -> storage.Info:
        """See Folder."""
        return self._listing[path.removeprefix(f"{self.root}/")]

    def _names(self, below: str) -> list[str]:
        """Names relative to a subfolder of all that is under it."""
        prefix = f"{below.strip('/')}/".lstrip("/")
        first = bisect.bisect_left(self._sorted, prefix)
        last = bisect.bisect_left(self._sorted, f"{prefix}\U0010ffff")
        return [name[len(prefix) :] for name in self._sorted[first:last]]


def _passed_over(name: str) -> bool:
    return name.startswith(".") or name.lower() in _LITTER


def _unreadable(error: OSError) -> None:
    raise DataError(f"cannot read the folder '{error.filename}': {error.strerror}")


def _below(root: str, path: str) -> bool:
    return path == root or path.startswith(root.rstrip(os.sep) + os.sep)
