r"""Finds the file of a picture that a table names, for every source with a table.

The exact name comes first. Then come names that a person would consider the same: without suffix or
with another one, in another case, with `\` between folders, in another Unicode form; but only if
exactly one file matches, and counted by kind of difference. A folder is listed when the first name
in it is not found, so a table of exact names costs nothing.
"""

from __future__ import annotations

import functools
import os
import posixpath
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from typing import NamedTuple

from preprocess import storage
from preprocess.shell.errors import DataError
from preprocess.sources.folder import Folder, open_folder
from preprocess.sources.leftovers import is_passed_over
from preprocess.sources.near_names import nearest_names
from preprocess.sources.picture_files import PICTURE_SUFFIXES, is_picture_name, picture_stem
from preprocess.sources.refusals import Reason, Refused

_URL = re.compile(r"[a-z][a-z0-9+.-]*://|data:", re.IGNORECASE)
_SHOWN = 80  # characters of a name in a message
_MOST_NEAREST = 1000  # missing pictures for which the most similar file is searched
_MOST_SUBFOLDERS = 200  # in which the first missing picture is searched


class Found(NamedTuple):
    """A file and its name."""

    path: str  # absolute, or gs://
    name: str  # relative to the folder, with `/`


class LookUp:
    """Finds pictures below a folder, and counts those found under another spelling."""

    def __init__(self, root: Folder) -> None:
        self._root = root
        self._listings: dict[str, _Listing] = {}
        self._spellings: Counter[str] = Counter()  # by kind of difference
        self._spelled: dict[str, tuple[str, str]] = {}  # the first of each: (name, file)
        self._several: list[str] = []  # ids with several files
        self._found = 0
        self._missing: list[str] = []

    def find(self, name: str) -> Found:
        """The file of a picture, named with or without its suffix. Raises Refused."""
        try:
            found = self._find(name)
        except Refused as refused:
            if refused.reason in (Reason.MISSING_PICTURE, Reason.OUTSIDE_FOLDER):
                self._missing.append(name)
            raise
        self._found += 1
        return found

    def find_id(self, name: str) -> Found:
        """The file of an id, which has no suffix: `ID.jpg`. If there are several suffixes, takes
        the first of PICTURE_SUFFIXES. Raises Refused.
        """
        folder, file = posixpath.split(posixpath.normpath(name))
        listing = self._listings.get(folder) or self._list_if_there(folder)
        files = listing.by_stem.get(file, ()) if listing else ()
        if not files:
            return self.find(name)
        if len(files) > 1:
            files = sorted(files, key=_rank)
            self._several.append(f"{posixpath.join(folder, files[0])} of {', '.join(files)}")
        relative = posixpath.join(folder, files[0])
        self._found += 1
        return Found(self._root.inside(relative), relative)

    @property
    def spellings(self) -> dict[str, int]:
        """How many pictures were found under another spelling, by kind of difference."""
        return dict(self._spellings.most_common())

    def warnings(self) -> Iterator[str]:
        """Warnings, once all pictures have been looked up."""
        for kind, count in self._spellings.most_common():
            name, file = self._spelled[kind]
            yield f"{count} pictures were found {kind}, such as '{name}' as '{file}'"
        if self._several:
            yield (
                f"{len(self._several)} ids have pictures of several suffixes; used was "
                f"{self._several[0][:200]}"
            )
        if len(self._missing) > self._found and (hint := self._other_folder()):
            yield hint

    def _find(self, name: str) -> Found:
        if posixpath.isabs(name) or storage.is_remote(name):
            name = self._root.relative(name)
        elif remote := _URL.match(name):
            raise Refused(Reason.MISSING_PICTURE, _not_a_file(remote[0]))
        plain = posixpath.normpath(name)
        folder, file = posixpath.split(plain)
        listing = self._listings.get(folder)
        if listing is None or file in listing.names:
            try:
                return Found(self._root.inside(plain), plain)
            except Refused as refused:
                if refused.reason != Reason.MISSING_PICTURE:
                    raise
        return self._other_spelling(name)

    def _other_spelling(self, name: str) -> Found:
        """The only file that an inexact name can mean."""
        plain = posixpath.normpath(name.replace("\\", "/"))
        if plain.startswith(("../", "/")):
            raise Refused(Reason.OUTSIDE_FOLDER, "the name leads out of the picture folder")
        folder, file = posixpath.split(plain)
        folder = self._spelled_folder(folder)
        listing = self._listing(folder)
        fitting = next(filter(None, listing.spellings(file)), [])
        if not fitting:
            names = listing.files if len(self._missing) < _MOST_NEAREST else ()
            near = [posixpath.join(folder, name) for name in nearest_names(file, names)]
            raise Refused(Reason.MISSING_PICTURE, f"no such file{_in_words(near)}")
        if len(fitting) > 1:
            shown = "' or '".join(posixpath.join(folder, fit) for fit in sorted(fitting)[:3])
            raise Refused(Reason.AMBIGUOUS_NAME, f"no such file; is it '{shown}'?")
        relative = posixpath.join(folder, fitting[0])
        found = Found(self._root.inside(relative), relative)
        kind = _difference(name, relative)
        self._spellings[kind] += 1
        self._spelled.setdefault(kind, (name[:_SHOWN], relative[:_SHOWN]))
        return found

    def _spelled_folder(self, folder: str) -> str:
        """The folder's name on the disk; raises Refused."""
        if not folder or folder in self._listings:
            return folder
        above, part = posixpath.split(folder)
        listing = self._listing(self._spelled_folder(above))
        fitting = listing.folder_spellings(part)
        if len(fitting) != 1:
            near = _in_words(fitting or nearest_names(part, listing.folders))
            raise Refused(
                Reason.MISSING_PICTURE, f"no folder '{folder[:_SHOWN]}' in --images{near}"
            )
        return posixpath.join(listing.folder, fitting[0])

    def _list_if_there(self, folder: str) -> _Listing | None:
        try:
            return self._listing(self._spelled_folder(folder))
        except Refused:
            return None

    def _listing(self, folder: str) -> _Listing:
        if folder not in self._listings:
            try:
                self._listings[folder] = _Listing(self._root, folder)
            except DataError as error:
                raise Refused(Reason.UNREADABLE_FILE, str(error)[:200]) from None
        return self._listings[folder]

    def _other_folder(self) -> str:
        """A hint if most pictures are missing because --images is off by a folder."""
        name = self._missing[0].replace("\\", "/")
        root = self._root
        for better in self._near_folders(name):
            return f"'{name[:_SHOWN]}' is not in --images, but in '{better}'; set --images={better}"
        parts = [part for part in name.split("/") if part]
        for skipped in range(1, len(parts)):
            if _is_below(root, "/".join(parts[skipped:])):
                prefix = name[: name.index(parts[skipped])] or name
                return (
                    f"the names in the table begin with '{prefix[:_SHOWN]}', and without it they "
                    "are found in --images: remove that prefix from the table"
                )
        return ""

    def _near_folders(self, name: str) -> Iterator[str]:
        """Folders above and below --images that contain the picture."""
        root = self._root
        if not storage.is_remote(root.root):
            above = os.path.dirname(root.root)
            if above != root.root and _is_below(open_folder(above, "--images"), name):
                yield above
        for folder in self._listing("").folders[:_MOST_SUBFOLDERS]:
            if _is_below(root, f"{folder}/{name}"):
                yield f"{root.root}/{folder}"


class _Listing:
    """The names in one folder, indexed by what a table may write instead."""

    def __init__(self, root: Folder, folder: str) -> None:
        self.folder = folder
        self.folders = root.folders(folder)
        self.names = frozenset(root.files(folder))
        self.files = [name for name in sorted(self.names) if _may_be_picture(name)]
        self.by_stem = _grouped(self.files, picture_stem)

    def folder_spellings(self, part: str) -> list[str]:
        """The folders that a name may mean."""
        return [part] if part in self.folders else self._folded_folders.get(_folded(part), [])

    def spellings(self, file: str) -> Iterator[list[str]]:
        """The files that a name may mean, the most similar spellings first."""
        stem = picture_stem(file)
        if stem == file:
            yield self.by_stem.get(file, [])
        # Another suffix and another case are equally near: p.jpg may be p.png or P.JPG.
        yield sorted({*self._by_folded.get(_folded(file), ()), *self.by_stem.get(stem, ())})
        yield self._by_folded_stem.get(_folded(stem), [])

    @functools.cached_property
    def _by_folded(self) -> dict[str, list[str]]:
        return _grouped(self.files, _folded)

    @functools.cached_property
    def _by_folded_stem(self) -> dict[str, list[str]]:
        return _grouped(self.files, lambda name: _folded(picture_stem(name)))

    @functools.cached_property
    def _folded_folders(self) -> dict[str, list[str]]:
        return _grouped(self.folders, _folded)


def _grouped(names: list[str], key: Callable[[str], str]) -> dict[str, list[str]]:
    groups: dict[str, list[str]] = defaultdict(list)
    for name in names:
        groups[key(name)].append(name)
    return dict(groups)


def _may_be_picture(name: str) -> bool:
    return (is_picture_name(name) or "." not in name) and not is_passed_over(name)


def _rank(name: str) -> int:
    suffix = posixpath.splitext(name)[1].lower()
    return PICTURE_SUFFIXES.index(suffix) if suffix else len(PICTURE_SUFFIXES)


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def _difference(name: str, file: str) -> str:
    """What differs between a name and its file's name, as a phrase after "were found"."""
    kinds = []
    if "\\" in name and "\\" not in file:
        kinds.append("with / for \\ between folders")
    asked = posixpath.normpath(name.replace("\\", "/")) if kinds else posixpath.normpath(name)
    stem, there = picture_stem(asked), picture_stem(file)
    if asked[len(stem) :].lower() != file[len(there) :].lower():
        kinds.append("with another suffix" if asked != stem else "with a suffix")
    elif asked[len(stem) :] != file[len(there) :]:
        kinds.append("in another case")
    composed = [unicodedata.normalize("NFC", text) for text in (stem, there)]
    if composed[0] != composed[1] and "in another case" not in kinds:
        kinds.append("in another case")
    if _folded(stem) == _folded(there) and stem.casefold() != there.casefold():
        kinds.append("in another Unicode form")
    return " and ".join(kinds)


def _is_below(root: Folder, name: str) -> bool:
    try:
        LookUp(root).find(name)
    except Refused:
        return False
    return True


def _in_words(near: list[str]) -> str:
    return f"; is it '{near[0][:_SHOWN]}'?" if near else ""


def _not_a_file(scheme: str) -> str:
    if scheme.lower() == "data:":
        return "the picture itself, as a data: URL; save it as a file and put the file name there"
    return "a URL, not a file; download the pictures first and put the file names there"
