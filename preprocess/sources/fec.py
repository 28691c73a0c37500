"""Voted triplets and a folder of pictures named by id (Google's facial expression comparison).

Columns: face1, face2, face3, votes1, votes2, votes3 [, triplet_type] [, subset]. Pictures are at
IMAGES/{id}.jpg (or another picture suffix). Google's own file, which has none of these columns, is
supported too (`google_fec.py`).
"""

from __future__ import annotations

import posixpath
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

from preprocess.dataset_format import TRIPLET
from preprocess.shell.errors import UsageError
from preprocess.sources import google_fec, votes
from preprocess.sources.folder import open_folder
from preprocess.sources.look_up import LookUp
from preprocess.sources.picture_files import picture_stem
from preprocess.sources.refusals import Reason, Refused, Rejection
from preprocess.sources.rows import Picture, Request, Source, Triplet, check_name
from preprocess.sources.source_kind import Evidence, SourceKind
from preprocess.sources.splitting import named_split
from preprocess.sources.tables import Row, Table

FACES = ("face1", "face2", "face3")
VOTES = ("votes1", "votes2", "votes3")


def read(request: Request) -> Source:
    """Reads the triplets, then looks up each picture that they name, once for each split."""
    if not request.csv:
        raise UsageError("--csv is required for --source=fec")
    root = open_folder(request.images, "--images", request.follow_links)
    table = Table(
        request.csv,
        required=(*FACES, *VOTES),
        optional=("triplet_type", "subset"),
        columns=request.columns,
        encoding=request.csv_encoding,
        foreign=google_fec.recognise,
    )
    source = Source(TRIPLET, pictures=[], rejections=table.rejections, stat=root.stat)
    faces = _Faces(LookUp(root))
    triplets = _triplets(table, request, source, faces)
    source.triplets = list(_divided(triplets, request, source))
    source.pictures = list(_pictures(source.triplets, faces.files, source))
    if table.is_foreign:
        source.warnings.append(google_fec.explain(table.name, source))
    source.warnings += [*table.warnings, *faces.look_up.warnings()]
    source.spellings = faces.look_up.spellings
    source.tables = {table.name: table.sha256}
    source.counted += table.counted
    return source


class _Faces:
    """The faces of a table. A face is in about nine triplets, and is looked up once."""

    def __init__(self, look_up: LookUp) -> None:
        self.look_up = look_up
        self.files: dict[str, str | Refused] = {}  # by id: its path, or why there is none
        self._ids: dict[str, str] = {}  # by cell

    def id(self, cell: str, column: str) -> str:
        """The id of the face in a cell: the name of its file without the suffix, or the cell if
        there is no file. Raises Refused for cells that cannot be an id.
        """
        if cell not in self._ids:
            self._ids[cell] = self._looked_up(check_name(cell, column), column)
        return self._ids[cell]

    def _looked_up(self, cell: str, column: str) -> str:
        name = picture_stem(cell)
        plain = posixpath.normpath(name.replace("\\", "/"))
        if f"{plain}/".startswith(("/", "./", "../")):
            raise Refused(Reason.OUTSIDE_FOLDER, f"{column} '{cell[:80]}' leads out of --images")
        try:
            found = self.look_up.find_id(name)
        except Refused as refused:
            self.files[name] = refused
            return name
        face = picture_stem(found.name)
        self.files[face] = found.path
        return face


def _triplets(table: Table, request: Request, source: Source, faces: _Faces) -> Iterator[Triplet]:
    """The triplets with their votes as shares; the whole table decides the kind of votes."""
    kinds = votes.Kinds()
    triplets: list[Triplet] = []
    for row in table.rows():
        try:
            triplets.append(_triplet(row, faces, request.splits.spellings))
        except Refused as refused:
            table.refuse(row.line, refused)
            continue
        kinds.add(triplets[-1].votes)
        if request.limit and kinds.fitting(kinds.decided) >= request.limit:
            break
    kind = kinds.decided
    if kind != votes.SHARES and not table.is_foreign:
        source.warnings.append(f"the votes of '{table.name}' are {kind}; converted to shares of 1")
    for triplet in triplets:
        try:
            yield triplet._replace(votes=votes.as_shares(triplet.votes, kind))
        except Refused as refused:
            table.refuse(triplet.line, refused)
    table.rejections.sort(key=lambda rejection: rejection.line or 0)


def _triplet(row: Row, faces: _Faces, spellings: Mapping[str, str]) -> Triplet:
    """A row's triplet, with its votes as written."""
    cells = row.cells
    first, second, third = (faces.id(cells[name], name) for name in FACES)
    if first in (second, third) or second == third:
        raise Refused(Reason.SAME_FACE_TWICE, f"{first}, {second}, {third}"[:200])
    return Triplet(
        split=named_split(cells["subset"], spellings) if cells.get("subset") else "",
        ids=(first, second, third),
        votes=votes.parsed(*(cells[name] for name in VOTES)),
        type=sys.intern(check_name(cells.get("triplet_type") or "unknown", "triplet_type")),
        line=row.line,
    )


def _divided(triplets: Iterable[Triplet], request: Request, source: Source) -> Iterator[Triplet]:
    """Assigns splits by face, so that no face is in two drawn splits. A triplet whose faces are in
    different splits is dropped.
    """
    counts: Counter[str] = Counter()
    dropped = 0
    for triplet in triplets:
        splits = {request.split(face, triplet.split) for face in triplet.ids}
        if len(splits) > 1:
            dropped += 1
            continue
        (split,) = splits
        counts[split] += 1
        yield triplet._replace(split=split)
    if dropped:
        remain = ", ".join(f"{count} {split}" for split, count in sorted(counts.items()))
        source.warnings.append(
            f"{dropped} triplets have faces in different splits and were dropped; "
            f"{remain or 'none'} remain"
        )


def _pictures(
    triplets: list[Triplet], files: Mapping[str, str | Refused], source: Source
) -> Iterator[Picture]:
    seen: dict[str, set[str]] = {triplet.split: set() for triplet in triplets}
    leaking: set[str] = set()
    for triplet in triplets:
        for face in triplet.ids:
            if face in seen[triplet.split]:
                continue
            another = any(face in faces for faces in seen.values())
            seen[triplet.split].add(face)
            if another:
                leaking.add(face)
            else:
                source.counted += 1
            file = files[face]
            if not isinstance(file, Refused):
                yield Picture(face, triplet.split, None, file, None, triplet.line)
            elif not another:
                source.rejections.append(
                    Rejection(face, triplet.line, "picture", file.reason, file.detail)
                )
    if leaking:
        source.warnings.append(
            f"{len(leaking)} faces are in more than one subset, so a test result would be too "
            f"good; the first: {', '.join(sorted(leaking)[:3])}"
        )


def _recognise(evidence: Evidence) -> str:
    if google_fec.recognise(evidence.first_line):
        return "Google's own FEC table"
    found = evidence.columns >= {*FACES, *VOTES}
    return "a table with the columns face1 to face3 and votes1 to votes3" if found else ""


KIND = SourceKind(
    name="fec",
    layout=(
        "triplets face1,face2,face3,votes1,votes2,votes3[,triplet_type][,subset] (--csv) and the "
        "folder of the faces ID.jpg (--images)"
    ),
    read=read,
    recognise=_recognise,
    recipe="faces",
)
