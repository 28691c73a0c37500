"""What a source declares of itself: its layout, how it is recognised, what suits it.

A source is one file of preprocess/sources that reads it and ends with `KIND = SourceKind(...)`.
Help, error messages and recognition follow from there.
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
SAMPLE = 500  # file names that tell what a folder holds


class Evidence:
    """What a command line gives, looked at only as far as a source asks."""

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
        """Columns of --csv in lower case, and by our names where --columns maps them, to theirs or
        to positions. Raises DataError for a table that cannot be read.
        """
        names = frozenset(self.first_line)
        if not names:
            return names
        mapped = self.request.columns
        return names | {o for o, theirs in mapped if theirs.isdecimal() or theirs.lower() in names}

    @functools.cached_property
    def folder(self) -> Folder | None:
        """--images, opened; None where it is not given, or is a
        file. Raises DataError where it is no folder.
        """
        request = self.request
        if not request.images or self.is_file:
            return None
        return open_folder(request.images, "--images", request.follow_links)

    @functools.cached_property
    def is_file(self) -> bool:
        """Whether --images names a file that is no archive."""
        images = self.request.images
        return bool(images) and names_container(images)

    def holds(self, suffixes: str | tuple[str, ...]) -> str:
        """The name of a file with one of these suffixes: --images itself, or the first below it;
        "" where there is none, there are pictures as files, or a table is given.
        """
        if self.request.csv or any(map(is_picture_name, self.sample)):
            return ""
        return next((name for name in self.sample if has_suffix(name, suffixes)), "")

    @functools.cached_property
    def webdataset(self) -> str:
        """What looks like a webdataset: tars in a folder, or in a tar KEY.cls beside KEY.jpg, or
        KEY.json where no folders could be classes. "" where nothing does.
        """
        if name := self.holds(TAR_SUFFIXES):
            return f"the tar file {name}"
        if self.request.csv or not self.request.images.lower().endswith(TAR_SUFFIXES):
            return ""
        labels = ".cls" if self.folders else (".cls", ".json")
        keys = {name.partition(".")[0] for name in self.sample if is_picture_name(name)}
        fitting = (n for n in self.sample if n.endswith(labels) and n.partition(".")[0] in keys)
        name = next(fitting, "")
        return f"a tar with {name} beside its picture" if name else ""

    @functools.cached_property
    def sample(self) -> tuple[str, ...]:
        """Names of some files, wherever below --images."""
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
    """One value of --source."""

    name: str
    layout: str  # what it reads, in one line of --help
    read: Callable[[Request], Source]
    # What makes the given input look like this source ("a table with ..."); "" where nothing does.
    recognise: Callable[[Evidence], str] = lambda _: ""
    recipe: str = "photos"  # what suits it, where the command line leaves it open
    variants: int = 10
    encoding: str = "jpeg"
    fallback: bool = False  # recognised only where no other source is
    columns_by_flags: bool = False  # --label, --weight and the like name columns of its table
    owns_images: bool = False  # all that lies below --images is input: the output must not
