"""Pictures in folders: which names exist, and that none of them leads out of the folder."""

from __future__ import annotations

import os
import posixpath
import stat
from collections.abc import Iterator
from typing import Protocol

from preprocess import storage
from preprocess.shell.errors import DataError, UsageError
from preprocess.sources.archive_folder import ArchiveFolder
from preprocess.sources.archives import split_path
from preprocess.sources.leftovers import is_passed_over
from preprocess.sources.listed_names import ListedNames
from preprocess.sources.refusals import Reason, Refused

FOLLOW_LINKS = "; --follow_links follows such links"


class Folder(Protocol):
    """The folder that the paths of a source are relative to."""

    root: str
    links_passed_over: list[str]  # links to folders that walk() did not follow

    def inside(self, relative: str) -> str:
        """The path of a regular file named relative to the folder.

        Absolute names are accepted if they are in the folder. Raises Refused for names that climb
        out (`../`; symlinks, unless they are followed), that do not exist, or that are not regular
        files.
        """

    def relative(self, absolute: str) -> str:
        """The name relative to the folder of an absolute path; it may climb out with `../`."""

    def walk(self, below: str) -> Iterator[str]:
        """The name relative to `below`, with `/`, of every file under that subfolder: a folder's
        sorted files, then its subfolders. Skips hidden files and system leftovers; follows links to
        folders if links are followed.
        """

    def folders(self, below: str = "") -> list[str]:
        """Sorted names of the subfolders, without hidden ones and system leftovers."""

    def files(self, below: str = "") -> list[str]:
        """Names of the files, in any order."""

    def stat(self, path: str) -> storage.Info:
        """Size and version of a file that `inside` returned; raises OSError if it is gone."""


def open_folder(path: str, flag: str, follow_links: bool = False) -> Folder:
    """An existing folder, or an archive instead; UsageError or DataError name the flag. With
    `follow_links`, symbolic links may lead out of a folder.
    """
    if not path:
        raise UsageError(f"{flag} is required for this source")
    if archive := split_path(path):
        return ArchiveFolder(*archive)
    if storage.is_remote(path):
        listing = storage.tree(path)
        if not listing:
            raise DataError(f"{flag}='{path}' does not exist: no object has that prefix")
        return RemoteFolder(storage.absolute(path), listing)
    if not os.path.isdir(path):
        kind = "is not a folder" if os.path.exists(path) else "does not exist"
        raise DataError(f"{flag}='{path}' {kind}")
    return LocalFolder(os.path.realpath(path), follow_links)


class LocalFolder:
    """A folder on a local disk."""

    def __init__(self, root: str, follow_links: bool = False) -> None:
        self.root = root  # a real path
        self.links_passed_over: list[str] = []
        self._follow_links = follow_links

    def inside(self, relative: str) -> str:
        """See Folder."""
        if "\0" in relative:
            raise Refused(Reason.BAD_ID, "the name has the character U+0000")
        path = os.path.normpath(os.path.join(self.root, relative))
        if not _below(self.root, path):
            raise Refused(Reason.OUTSIDE_FOLDER, "the name leads out of the picture folder")
        try:
            # realpath resolves every symlink in the path, so a link cannot lead out either.
            if not self._follow_links and not _below(self.root, os.path.realpath(path)):
                raise Refused(
                    Reason.OUTSIDE_FOLDER,
                    f"a symbolic link leads out of the picture folder{FOLLOW_LINKS}",
                )
            mode = os.stat(path).st_mode
        except (FileNotFoundError, NotADirectoryError):
            raise Refused(Reason.MISSING_PICTURE, _missing(path)) from None
        except OSError as error:
            raise Refused(Reason.UNREADABLE_FILE, error.strerror or "unreadable") from None
        if not stat.S_ISREG(mode):
            # A FIFO would block the build forever; a device would never end.
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
        return self._walk(base, "", (os.path.realpath(base),))

    def _walk(self, folder: str, prefix: str, above: tuple[str, ...]) -> Iterator[str]:
        """Names below a folder, each with `prefix` in front; `above` are the real paths of its
        parents, so that a link back to one of them does not cause an endless loop.
        """
        folders = []
        for entry in _entries(folder):
            if is_passed_over(entry.name):
                continue
            if _is_folder(entry):
                folders.append(entry)
            else:
                yield f"{prefix}{entry.name}"
        for entry in folders:
            real = entry.path
            if entry.is_symlink():
                real = os.path.realpath(entry.path)
                if not self._follow_links or real in above:
                    self.links_passed_over.append(os.path.relpath(entry.path, self.root))
                    continue
            yield from self._walk(entry.path, f"{prefix}{entry.name}/", (*above, real))

    def folders(self, below: str = "") -> list[str]:
        """See Folder."""
        entries = _entries(os.path.join(self.root, below))
        return [e.name for e in entries if _is_folder(e) and not is_passed_over(e.name)]

    def files(self, below: str = "") -> list[str]:
        """See Folder."""
        entries = _entries(os.path.join(self.root, below))
        return [entry.name for entry in entries if not _is_folder(entry)]

    def stat(self, path: str) -> storage.Info:
        """See Folder."""
        return storage.stat(path)


class RemoteFolder:
    """A prefix in an object store: one listing answers everything, for any number of pictures.

    There are no links, and `..` is an ordinary name; a name that climbs out is rejected here as it
    is on a disk, so that a table means the same in both places.
    """

    def __init__(self, root: str, listing: dict[str, storage.Info]) -> None:
        self.root = root
        self.links_passed_over: list[str] = []  # object stores have no links
        self._listing = listing
        self._names = ListedNames(listing)

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
        return self._names.walk(below)

    def folders(self, below: str = "") -> list[str]:
        """See Folder."""
        return self._names.folders(below)

    def files(self, below: str = "") -> list[str]:
        """See Folder."""
        return self._names.files(below)

    def stat(self, path: str) -> storage.Info:
        """See Folder."""
        return self._listing[path.removeprefix(f"{self.root}/")]


def _entries(folder: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        raise DataError(f"cannot read the folder '{folder}': {error.strerror}") from None


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # such as a link to itself: inside() rejects it as a file
        return False


def _missing(path: str) -> str:
    if os.path.islink(path):
        return "a link to a missing file; does it have to be downloaded (git annex, DVC)?"
    return "no such file"


def _below(root: str, path: str) -> bool:
    return path == root or path.startswith(root.rstrip(os.sep) + os.sep)
