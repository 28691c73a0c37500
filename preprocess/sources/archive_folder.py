"""An archive as a picture folder."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterator

from preprocess import storage
from preprocess.shell.errors import DataError
from preprocess.sources import archives
from preprocess.sources.leftovers import is_passed_over
from preprocess.sources.listed_names import ListedNames
from preprocess.sources.places import ItemStat
from preprocess.sources.refusals import Reason, Refused
from preprocess.sources.splitting import SPELLINGS


class ArchiveFolder:
    """See Folder. If the whole archive is in one folder, names are relative to it, as they would be
    after unpacking it.
    """

    def __init__(self, archive: str, below: str) -> None:
        self.root = archive if storage.is_remote(archive) else os.path.realpath(archive)
        self.links_passed_over: list[str] = []  # links in an archive are rejected individually
        self._members = archives.list_members(self.root).members
        self._names = ListedNames(self._members)
        self._stat = ItemStat()
        if below and not self._names.below(below):
            tops = ", ".join(self._names.folders(""))[:80]
            raise DataError(f"'{archive}' has no folder '{below}'; its folders: {tops or 'none'}")
        self._below = below or self._only_folder()

    def _only_folder(self) -> str:
        """The only top folder, if it contains everything and is not a split; else ""."""
        folders = self._names.folders("")
        beside = [name for name in self._names.files("") if not is_passed_over(name)]
        if len(folders) != 1 or beside or folders[0].lower() in SPELLINGS:
            return ""
        files = [name for name in self._names.files(folders[0]) if not is_passed_over(name)]
        return folders[0] if self._names.folders(folders[0]) and not files else ""

    def inside(self, relative: str) -> str:
        """See Folder."""
        if "\0" in relative:
            raise Refused(Reason.BAD_ID, "the name has the character U+0000")
        name = posixpath.normpath(relative)
        if name.startswith(("../", "/")) or name in ("..", "."):
            raise Refused(Reason.OUTSIDE_FOLDER, "the name leads out of the archive")
        member = self._members.get(self._in_archive(name)) or self._members.get(name)
        if member is None:
            raise Refused(Reason.MISSING_PICTURE, "no such file in the archive")
        if member.reason:
            raise Refused(member.reason, member.detail)
        return member.place

    def relative(self, absolute: str) -> str:
        """See Folder."""
        return absolute  # archives have no absolute names: inside() rejects them

    def walk(self, below: str) -> Iterator[str]:
        """See Folder."""
        return self._names.walk(self._in_archive(below))

    def folders(self, below: str = "") -> list[str]:
        """See Folder."""
        return self._names.folders(self._in_archive(below))

    def files(self, below: str = "") -> list[str]:
        """See Folder."""
        return self._names.files(self._in_archive(below))

    def stat(self, path: str) -> storage.Info:
        """See Folder."""
        return self._stat(path)

    def _in_archive(self, name: str) -> str:
        return posixpath.join(self._below, name)
