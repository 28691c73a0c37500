"""A table `path,label[,split]` and the folder of its paths.

Flags name other columns to learn: --label, --labels, --targets, --weight (annotations.py).
"""

from __future__ import annotations

import os

from preprocess.shell.errors import UsageError
from preprocess.sources.annotations import (
    Annotated,
    Columns,
    annotate,
    chosen_columns,
    conflict,
)
from preprocess.sources.folder import open_folder
from preprocess.sources.look_up import LookUp
from preprocess.sources.refusals import Reason, Refused, Rejection
from preprocess.sources.rows import Picture, Request, Source, check_name
from preprocess.sources.source_kind import Evidence, SourceKind
from preprocess.sources.splitting import named_split
from preprocess.sources.tables import Row, Table


def read(request: Request) -> Source:
    """Reads the table and finds its pictures. Class numbers are alphabetical from 0, or by value if
    all labels are integers.
    """
    if not request.csv:
        raise UsageError("--csv is required for --source=csv")
    columns = chosen_columns(request)
    images = request.images or os.path.dirname(request.csv) or "."
    root = open_folder(images, "--images", request.follow_links)
    table = Table(
        request.csv,
        required=("path", *columns.required),
        optional=("split",),
        columns=request.columns,
        encoding=request.csv_encoding,
    )
    source = Source(columns.task, pictures=[], rejections=table.rejections, stat=root.stat)
    look_up = LookUp(root)
    annotated: dict[str, Annotated] = {}  # by id
    for row in table.rows():
        if request.limit and len(annotated) >= request.limit:
            break
        try:
            _add(annotated, row, columns, look_up, source, request)
        except Refused as refused:
            table.refuse(row.line, refused)
    source.warnings += table.warnings
    annotate(source, columns, annotated.values())
    source.counted += table.counted
    source.warnings += look_up.warnings()
    source.spellings = look_up.spellings
    source.tables = {table.name: table.sha256}
    return source


def _add(
    annotated: dict[str, Annotated],
    row: Row,
    columns: Columns,
    look_up: LookUp,
    source: Source,
    request: Request,
) -> None:
    name = check_name(row.cells["path"], "path")
    annotation = columns.read(row.cells)
    cell = row.cells.get("split", "")
    named = named_split(cell, request.splits.spellings) if cell else ""
    try:
        path, image_id = look_up.find(name)
    except Refused as refused:
        source.counted += 1
        source.rejections.append(
            Rejection(name, row.line, "picture", refused.reason, refused.detail)
        )
        return
    if earlier := annotated.get(image_id):
        line = earlier.picture.line
        if difference := conflict(earlier.annotation, annotation):
            raise Refused(Reason.CONFLICTING_ROW, f"line {line} {difference}")
        raise Refused(Reason.DUPLICATE_ID, f"already on line {line}")
    source.counted += 1
    split = request.split(image_id, named)
    picture = Picture(image_id, split, None, path, None, row.line)
    annotated[image_id] = Annotated(picture, named, annotation)


def _recognise(evidence: Evidence) -> str:
    request = evidence.request
    wanted = ("path", *(name.lower() for name in chosen_columns(request).required))
    if not evidence.columns >= {*wanted}:
        return ""
    *most, last = wanted
    return f"a table with the columns {', '.join(most)} and {last}"


KIND = SourceKind(
    name="csv",
    layout="a table path,label[,split] (--csv) and the folder of its pictures (--images); "
    "--labels or --targets for several labels or numbers a picture, --targets also beside "
    "--label or --labels",
    read=read,
    recognise=_recognise,
    columns_by_flags=True,
)
