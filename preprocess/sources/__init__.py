"""Sources: what users have -> rows; one file for each kind of input, all returning a `Source`.

A file here that ends with `KIND = SourceKind(...)` (source_kind.py) is a source; --help, error
messages and recognition follow from it (docs/extending.md). rows.py has the types, tables.py reads
CSV line by line, folder.py keeps every path inside the picture folder, splitting.py assigns
pictures to splits. Imports pictures, storage and shell. Start reading at folders.py.
"""

from __future__ import annotations

from preprocess.shell.entries import Entries
from preprocess.sources import archives, registry
from preprocess.sources.folder import FOLLOW_LINKS
from preprocess.sources.refusals import Reason, Rejection
from preprocess.sources.rows import Request, Source
from preprocess.sources.source_kind import SourceKind

_TABLE = Entries("source", "preprocess.sources", defining="KIND")
_KINDS: list[SourceKind] = [_TABLE.module(name).KIND for name in _TABLE.names()]
_CLIMBS = "its name leads out of the archive"
SOURCES = {kind.name: kind for kind in _KINDS}


def find_source(name: str) -> SourceKind:
    """The source called `name`, or `module:NAME`; raises UsageError."""
    return registry.find_source(name, SOURCES)


def recognise(request: Request) -> tuple[SourceKind, str]:
    """The only source that matches the input, and why; raises UsageError."""
    return registry.recognise(request, SOURCES)


def read_source(kind: str, request: Request) -> Source:
    """Reads one kind of source; raises DataError or UsageError if the input cannot be used."""
    source = find_source(kind).read(request)
    used = {picture.split for picture in source.pictures}
    for name in request.splits.names:
        if name not in used:
            source.warnings.append(f"--splits names '{name}', but no picture belongs to it")
    if archive := archives.split_path(request.images):
        outside = archives.list_members(archive[0]).outside
        source.counted += len(outside)
        source.rejections += [
            Rejection(ascii(name)[1:-1][:200], None, "picture", Reason.OUTSIDE_FOLDER, _CLIMBS)
            for name in outside
        ]
    source.root = request.folder
    linked = [r.source for r in source.rejections if r.detail.endswith(FOLLOW_LINKS)]
    if linked:
        source.warnings.append(
            f"{len(linked)} pictures were rejected because symbolic links lead out of the picture "
            f"folder, such as '{linked[0][:80]}'{FOLLOW_LINKS}"
        )
    return source
