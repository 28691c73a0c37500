"""A table `path,label[,split]` and the folder its paths are relative to."""

from __future__ import annotations

import os

from preprocess import storage
from preprocess.dataset_format import CLASSIFICATION
from preprocess.errors import UsageError
from preprocess.refusals import Reason, Refused, Rejection
from preprocess.sources.folder import Folder, open_folder
from preprocess.sources.rows import Picture, Request, Source, check_name
from preprocess.sources.splitting import named_split
from preprocess.sources.tables import Row, Table


def read(request: Request) -> Source:
    """Reads the table and finds its pictures. Class numbers are alphabetical from 0."""
    if not request.csv:
        raise UsageError("--csv is required for --source=csv")
    root = open_folder(request.images or os.path.dirname(request.csv) or ".", "--images")
    table = Table(
        request.csv, required=("path", "label"), optional=("split",), columns=request.columns
    )
    source = Source(CLASSIFICATION, pictures=[], rejections=table.rejections, stat=root.stat)
    found: dict[str, tuple[str, Picture]] = {}  # id -> (label, picture without its number)
    for row in table.rows():
        if request.limit and len(found) >= request.limit:
            break
        try:
            _add(found, row, root, source, request)
        except Refused as refused:
            table.refuse(row.line, refused)
    source.classes = sorted({label for label, _ in found.values()})
    numbers = {name: number for number, name in enumerate(source.classes)}
    source.pictures = [p._replace(label=numbers[label]) for label, p in found.values()]
    source.counted += table.counted
    source.tables = {table.name: table.sha256}
    return source


def _add(
    found: dict[str, tuple[str, Picture]], row: Row, root: Folder, source: Source, request: Request
) -> None:
    name = check_name(row.cells["path"], "path")
    label = check_name(row.cells["label"], "label", Reason.BAD_LABEL)
    absolute = os.path.isabs(name) or storage.is_remote(name)
    relative = root.relative(name) if absolute else os.path.normpath(name)
    image_id = relative.replace(os.sep, "/")
    named = row.cells.get("split", "")
    split = request.split(image_id, named_split(named) if named else "")
    if image_id in found:
        earlier, picture = found[image_id]
        if earlier != label:
            raise Refused(Reason.CONFLICTING_ROW, f"line {picture.line} calls it '{earlier[:40]}'")
        raise Refused(Reason.DUPLICATE_ID, f"already on line {picture.line}")
    source.counted += 1
    try:
        path = root.inside(relative)
    except Refused as refused:
        source.rejections.append(
            Rejection(name, row.line, "picture", refused.reason, refused.detail)
        )
        return
    found[image_id] = (label, Picture(image_id, split, None, path, None, row.line))
