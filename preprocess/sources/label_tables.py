"""What to give as --csv and --columns: which table has the labels, and which columns hold what."""

from __future__ import annotations

import itertools
import os
import posixpath
import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from preprocess.shell.errors import DataError, UsageError
from preprocess.sources.archives import split_path
from preprocess.sources.folder import Folder
from preprocess.sources.numbers import is_number
from preprocess.sources.picture_files import is_picture_name, picture_stem
from preprocess.sources.refusals import Refused
from preprocess.sources.tables import Table, looks_like_data

# What people call the columns of pictures and of labels.
_PATH_COLUMN = re.compile("path|file|image|img|photo|picture|name|id$|datei|bild")
_LABEL_COLUMN = re.compile("label|class|klass|categ|kateg|target|species|breed|type")
_TABLES = (".csv", ".tsv")
_SAMPLE_ROWS = 200  # enough to see which values repeat
_SAMPLE_FOLDERS = 50  # that a table's pictures may be in
ANY_TABLE = "Labels may also come from a table path,label[,split]: --csv"


class Columns(NamedTuple):
    """What the columns of a table seem to hold."""

    path: str
    label: str  # "" where each class has a column of its own
    classes: list[str]  # those columns: one of them is 1 in each row, the others are 0

    @property
    def flag(self) -> str:
        """The value of --columns."""
        return f"path={self.path},label={self.label}"


def likely_columns(csv: str, names: Sequence[str], encoding: str = "") -> Columns | None:
    """Which columns are the picture and its label, by their names and by what the first rows hold;
    None for a table of one column.

    Args:
      csv: the table's path.
      names: its header, in lower case.
      encoding: of its text; "" = recognised.
    """
    if len(names) < 2:
        return None
    rows = _first_rows(csv, names, encoding)
    by_name = [name for name in names if _PATH_COLUMN.search(name)]
    path = next((n for n in names if _are_pictures(r[n] for r in rows if n in r)), "")
    path = path or next(iter(by_name), names[0])
    others = [name for name in names if name and name != path] or [names[-1]]
    named = next(filter(_LABEL_COLUMN.search, others), "")
    classes = [] if named else _one_hot(rows, others)
    if classes:
        return Columns(path, "", classes)
    return Columns(path, named or _repeating(rows, others) or others[-1], [])


def labels_found(root: Folder, images: str, below: Iterable[str]) -> str:
    """A sentence on what has the labels of pictures that lie in no class folders: a table whose
    first row names one of them, with the flags to give, or COCO's boxes; "" if nothing has.

    Args:
      root: the opened folder.
      images: how the user named it.
      below: its subfolders to look into, "" for itself.
    """
    folders = list(below)
    files = [posixpath.join(folder, name) for folder in folders for name in root.files(folder)]
    tables = [f for f in files if f.lower().endswith(_TABLES) and "submission" not in f.lower()]
    for table in sorted(tables, key=lambda name: ("train" not in name.lower(), name)):
        if sentence := _from_table(root, images, table, folders):
            return sentence
    coco = [name for name in files if name.lower().endswith(".coco.json")]
    if coco:
        return (
            f"'{coco[0]}' has boxes (COCO), which are not read: write a table path,label[,split] "
            "of one label a picture, and give it as --csv"
        )
    return ""


def _from_table(root: Folder, images: str, table: str, folders: Sequence[str]) -> str:
    archive = split_path(images)
    if archive:
        return (
            f"'{table}' in the archive may have the labels: unpack it, and give it as --csv beside "
            "--images"
        )
    csv = _joined(images, table)
    try:
        names = Table(csv, required=()).read_names()
        columns = None if looks_like_data(names) else likely_columns(csv, names)
    except (DataError, UsageError):  # a hint has no errors of its own
        return ""
    if columns is None:
        return ""
    rows = _first_rows(csv, names, "")
    if not rows or columns.path not in rows[0]:
        return ""
    folder = _folder_of(root, rows[0][columns.path], folders)
    if folder is None or rows[0].get(columns.label) == posixpath.basename(folder):
        return ""  # names no picture here; or repeats the class folders
    if columns.classes:
        return f"'{table}' has the labels, {one_hot_remedy(columns)}"
    known = {"path", "label"} <= set(names)
    flag = "" if known else f" --columns={columns.flag}"
    where = _joined(images, folder) if folder else images
    return f"'{table}' has the labels: --csv={csv} --images={where}{flag}"


def one_hot_remedy(columns: Columns) -> str:
    """What to do about a table that has a column for each class."""
    return (
        f"but one column of 0 and 1 for each class ({', '.join(columns.classes)[:80]}): add a "
        "column `label` with the name of the class, and give it as --csv with "
        f"--columns=path={columns.path}"
    )


def _folder_of(root: Folder, cell: str, folders: Sequence[str]) -> str | None:
    """The folder that a picture's cell is relative to; None if there is no such picture."""
    head, name = posixpath.split(cell)
    for folder in dict.fromkeys([*folders, *root.folders()[:_SAMPLE_FOLDERS]]):
        if head:
            try:
                root.inside(posixpath.join(folder, cell))
            except Refused:
                continue
            return folder
        stem = picture_stem(name)
        if any(is_picture_name(f) and picture_stem(f) == stem for f in root.files(folder)):
            return folder
    return None


def _first_rows(csv: str, names: Sequence[str], encoding: str) -> list[dict[str, str]]:
    """Some rows; none where the header names a column twice."""
    wanted = tuple(name for name in names if name)
    try:
        rows = Table(csv, required=wanted, encoding=encoding).rows()
        return [row.cells for row in itertools.islice(rows, _SAMPLE_ROWS)]
    except (DataError, UsageError):
        return []


def _are_pictures(cells: Iterable[str]) -> bool:
    seen = list(cells)
    return bool(seen) and all(map(is_picture_name, seen))


def _repeating(rows: Sequence[dict[str, str]], names: Sequence[str]) -> str:
    """The first column of few values that repeat, of words before numbers; "" if none is."""
    found = []
    for name in names:
        values = {row[name] for row in rows if row[name]}
        if 2 <= len(values) <= len(rows) / 2 and all(row[name] for row in rows):
            found.append((all(map(is_number, values)), name))
    return min(found, key=lambda pair: pair[0])[1] if found else ""


def _one_hot(rows: Sequence[dict[str, str]], names: Sequence[str]) -> list[str]:
    """The columns of 0 and 1 of which exactly one is 1 in each row; [] if there are none."""
    binary = [name for name in names if rows and {row[name] for row in rows} <= {"0", "1"}]
    one_each = all(sum(row[name] == "1" for name in binary) == 1 for row in rows)
    return binary if len(binary) > 1 and one_each else []


def _joined(images: str, name: str) -> str:
    return f"{images.rstrip(os.sep)}/{name}"
