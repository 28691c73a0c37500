"""What a source declares: its layout, how it is recognised, defaults that suit it.

A source is one file of preprocess/sources that reads it and ends with `KIND = SourceKind(...)`.
Help, error messages and recognition follow from it.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import os
from collections.abc import Callable

from preprocess.sources.container_files import has_suffix, names_container
from preprocess.sources.folder import Folder, open_folder
from preprocess.sources.picture_files import is_picture_name
from preprocess.sources.rows import Request, Source
from preprocess.sources.tables import Table

TAR_SUFFIXES = (".tar", ".tar.gz", ".tgz")
SAMPLE = 500  # file names examined to recognise a folder


class Evidence:
    """The input of a command line, examined only as far as a source asks."""

    def __init__(self, request: Request) -> None:
        self.request = request

    @functools.cached_property
    def first_line(self) -> list[str]:
        """Cells of the first line of --csv in lower case, a header's or a row's; empty without a
        table. Raises DataError for a table that cannot be read.
        """
        request = self.request
        if not request.csv:
            return []
        return Table(request.csv, required=(), encoding=request.csv_encoding).read_names()

    @functools.cached_property
    def columns(self) -> frozenset[str]:
        """Columns of --csv in lower case, and our names that --columns maps to columns or
        positions. Raises DataError for a table that cannot be read.
        """
        names = frozenset(self.first_line)
        if not names:
            return names
        mapped = self.request.columns
        return names | {o for o, theirs in mapped if theirs.isdecimal() or theirs.lower() in names}

    @functools.cached_property
    def folder(self) -> Folder | None:
        """--images, opened; None if unset or a file. Raises DataError if it is not a folder."""
        request = self.request
        if not request.images or self.is_file:
            return None
        return open_folder(request.images, "--images", request.follow_links)

    @functools.cached_property
    def is_file(self) -> bool:
        """Whether --images names a file that is not an archive."""
        images = self.request.images
        return bool(images) and names_container(images)

    def holds(self, suffixes: str | tuple[str, ...]) -> str:
        """The name of a file with one of these suffixes: --images itself, or the first below it; ""
        if there is none, there are picture files, or a table is given.
        """
        if self.request.csv or any(map(is_picture_name, self.sample)):
            return ""
        return next((name for name in self.sample if has_suffix(name, suffixes)), "")

    @functools.cached_property
    def webdataset(self) -> str:
        """Evidence of a webdataset: tars in a folder, or in a tar KEY.cls next to KEY.jpg, or
        KEY.json if there are no possible class folders. "" if there is none.
        """
        if name := self.holds(TAR_SUFFIXES):
            return f"the tar file {name}"
        if self.request.csv or not self.request.images.lower().endswith(TAR_SUFFIXES):
            return ""
        labels = ".cls" if self.folders else (".cls", ".json")
        keys = {name.partition(".")[0] for name in self.sample if is_picture_name(name)}
        fitting = (n for n in self.sample if n.endswith(labels) and n.partition(".")[0] in keys)
        name = next(fitting, "")
        return f"a tar with {name} next to its picture" if name else ""

    @functools.cached_property
    def sample(self) -> tuple[str, ...]:
        """Names of some files, anywhere below --images."""
        if self.is_file:
            return (os.path.basename(self.request.images),)
        return tuple(itertools.islice(self.folder.walk(""), SAMPLE)) if self.folder else ()

    @functools.cached_property
    def files(self) -> frozenset[str]:
        """Names of the files directly in --images, or of --images itself."""
        if self.is_file:
            return frozenset(self.sample)
        return frozenset(self.folder.files()) if self.folder else frozenset()

    @functools.cached_property
    def folders(self) -> tuple[str, ...]:
        """Names of the folders directly in --images."""
        return tuple(self.folder.folders()) if self.folder else ()


@dataclasses.dataclass(frozen=True)
class SourceKind:
    """A value of --source."""

    name: str
    layout: str  # what it reads, in one line of --help
    read: Callable[[Request], Source]
    # Evidence that the input is of this kind ("a table with ..."); "" if there is none.
    recognise: Callable[[Evidence], str] = lambda _: ""
    recipe: str = "photos"  # the default recipe for it
    variants: int = 10
    encoding: str = "jpeg"
    fallback: bool = False  # recognised only if no other source is
    columns_by_flags: bool = False  # --label, --weight and the like name columns of its table
    owns_images: bool = False  # everything below --images is input: the output must not be there
