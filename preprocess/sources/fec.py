"""Voted triplets and a folder of pictures named by id (Google's facial expression comparison).

Columns: face1, face2, face3, votes1, votes2, votes3 [, triplet_type] [, subset]. Pictures
lie at IMAGES/{id}.jpg (or another picture suffix).
"""

from __future__ import annotations

import functools
import math
import os
import sys
from collections import Counter
from collections.abc import Iterable, Iterator

from preprocess.dataset_format import TRIPLET
from preprocess.errors import UsageError
from preprocess.refusals import Reason, Refused, Rejection
from preprocess.sources.folder import PICTURE_SUFFIXES, Folder, open_folder
from preprocess.sources.rows import Picture, Request, Source, Triplet, check_name
from preprocess.sources.splitting import named_split
from preprocess.sources.tables import Row, Table

FACES = ("face1", "face2", "face3")
VOTES = ("votes1", "votes2", "votes3")
# Shares written with six digits miss 1 by 1.5e-6. They stay as they are: 0.5, 0.333333, 0.166666
# divided by their sum would make a majority of the 0.5.
VOTES_ROUNDING = 5e-6
VOTES_TOLERANCE = 0.02  # three shares rounded to two digits may miss 1 by 0.015


def read(request: Request) -> Source:
    """Reads the triplets, then finds each picture that they name, once a split."""
    if not request.csv:
        raise UsageError("--csv is required for --source=fec")
    root = open_folder(request.images, "--images")
    table = Table(
        request.csv,
        required=(*FACES, *VOTES),
        optional=("triplet_type", "subset"),
        columns=request.columns,
    )
    source = Source(TRIPLET, pictures=[], rejections=table.rejections, stat=root.stat)
    source.triplets = list(_divided(_triplets(table, request.limit), request, source))
    source.pictures = list(_pictures(source.triplets, root, source))
    source.tables = {table.name: table.sha256}
    source.counted += table.counted
    return source


def _triplets(table: Table, limit: int) -> Iterator[Triplet]:
    # A face stands in about nine triplets: its name is looked at, and its id kept, once.
    known: dict[str, str] = {}
    taken = 0
    for row in table.rows():
        if limit and taken >= limit:
            break
        try:
            triplet = _triplet(row, known)
        except Refused as refused:
            table.refuse(row.line, refused)
            continue
        taken += 1
        yield triplet


def _triplet(row: Row, known: dict[str, str]) -> Triplet:
    cells = row.cells
    for name in FACES:
        if cells[name] not in known:
            known[cells[name]] = _face(cells[name], name)
    first, second, third = (known[cells[name]] for name in FACES)
    if first in (second, third) or second == third:
        raise Refused(Reason.SAME_FACE_TWICE, f"{first}, {second}, {third}"[:200])
    return Triplet(
        split=named_split(cells["subset"]) if cells.get("subset") else "",
        ids=(first, second, third),
        votes=_votes(*(cells[name] for name in VOTES)),
        type=sys.intern(check_name(cells.get("triplet_type") or "unknown", "triplet_type")),
        line=row.line,
    )


def _face(cell: str, column: str) -> str:
    check_name(cell, column)
    if "/" in cell or "\\" in cell or cell in (".", ".."):
        raise Refused(Reason.OUTSIDE_FOLDER, f"{column} '{cell[:80]}' is a path, not an id")
    stem, suffix = os.path.splitext(cell)
    return stem if suffix.lower() in PICTURE_SUFFIXES else cell


@functools.lru_cache(maxsize=1024)  # six to twelve annotators vote in 399 ways: rows share them
def _votes(*cells: str) -> tuple[float, float, float]:
    try:
        first, second, third = (float(cell) for cell in cells)
    except ValueError:
        raise Refused(Reason.BAD_NUMBER, f"votes {', '.join(cells)}"[:200]) from None
    total = first + second + third
    # Written so that NaN fails too.
    if not (min(first, second, third) >= 0 and math.isfinite(total)):
        raise Refused(Reason.BAD_NUMBER, f"votes {first:g}, {second:g}, {third:g}")
    if not abs(total - 1) <= VOTES_TOLERANCE + 1e-9:  # 1.02 - 1 is above 0.02 in floats
        raise Refused(Reason.BAD_VOTES, f"the votes sum to {total:g}, not 1")
    if abs(total - 1) <= VOTES_ROUNDING:
        return first, second, third
    return first / total, second / total, third / total


def _divided(triplets: Iterable[Triplet], request: Request, source: Source) -> Iterator[Triplet]:
    """Splits by face, so that no face is in two splits that were drawn. A triplet whose faces
    fell into different splits belongs to none and is left out.
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
            f"{dropped} triplets have faces in different splits and were left out; "
            f"there remain {remain or 'none'}"
        )


def _pictures(triplets: list[Triplet], root: Folder, source: Source) -> Iterator[Picture]:
    names = _names_by_id(root)
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
            try:
                if face not in names:
                    raise Refused(Reason.MISSING_PICTURE, f"no {face[:80]}.jpg")
                path = root.inside(names[face])
            except Refused as refused:
                if not another:
                    source.rejections.append(
                        Rejection(face, triplet.line, "picture", refused.reason, refused.detail)
                    )
                continue
            yield Picture(face, triplet.split, None, path, None, triplet.line)
    if leaking:
        source.warnings.append(
            f"{len(leaking)} faces are in more than one subset, so a test figure would flatter; "
            f"the first: {', '.join(sorted(leaking)[:3])}"
        )


def _names_by_id(root: Folder) -> dict[str, str]:
    """File name by id. One listing, not a look-up a picture; where an id has files of several
    suffixes, the first of PICTURE_SUFFIXES is taken.
    """
    names: dict[str, str] = {}
    for name in root.files():
        stem, suffix = os.path.splitext(name)
        if suffix.lower() not in PICTURE_SUFFIXES:
            continue
        if stem not in names or _rank(name) < _rank(names[stem]):
            names[stem] = name
    return names


def _rank(name: str) -> int:
    return PICTURE_SUFFIXES.index(os.path.splitext(name)[1].lower())
