"""Google's own file of its facial expression comparison: no header, faces by URL and box.

A row: three times URL and box (left, right, top, bottom, as shares of width and height), the type
of the triplet, then for each annotator a name and the number, 1 to 3, of the picture that they
called the odd one. Source: the README that comes with the data set.
"""

from __future__ import annotations

import hashlib
import posixpath
import re
from typing import NamedTuple
from urllib.parse import urlsplit

from preprocess.sources.numbers import is_number, number
from preprocess.sources.refusals import Reason, Refused
from preprocess.sources.rows import Source
from preprocess.sources.tables import Layout

FACES = 3
FACE_CELLS = 5  # URL and box
TYPE = FACES * FACE_CELLS
FIRST_ANNOTATOR = TYPE + 1
MIN_CELLS = FIRST_ANNOTATOR + 2

_SCHEMES = ("http://", "https://")
_CHOICES = ("1", "2", "3")


class Face(NamedTuple):
    """A face in a picture on the web."""

    id: str  # of URL and box: the file name in the URL, and a hash
    url: str
    box: tuple[float, float, float, float]  # left, right, top, bottom; shares of width and height


def recognise(cells: list[str]) -> Layout | None:
    """How to read the rows, if the first one looks like Google's; else None."""
    if len(cells) < MIN_CELLS:
        return None
    starts = range(0, TYPE, FACE_CELLS)
    urls = all(cells[at].startswith(_SCHEMES) for at in starts)
    boxes = all(is_number(cell) for at in starts for cell in cells[at + 1 : at + FACE_CELLS])
    return cells_by_name if urls and boxes else None


def cells_by_name(cells: list[str]) -> dict[str, str]:
    """A row by the names of `fec`'s columns, the votes as counts of annotators.

    Raises Refused for a truncated row, or one in which an annotator chose no picture.
    """
    if len(cells) < MIN_CELLS or (len(cells) - FIRST_ANNOTATOR) % 2:
        raise Refused(Reason.MISSING_COLUMN, f"{len(cells)} columns: the row is truncated")
    chosen = [cell.strip() for cell in cells[FIRST_ANNOTATOR + 1 :: 2]]
    if unknown := [choice for choice in chosen if choice not in _CHOICES]:
        raise Refused(Reason.BAD_NUMBER, f"an annotator chose '{unknown[0][:40]}', not 1, 2 or 3")
    named = {f"face{i + 1}": found.id for i, found in enumerate(faces(cells))}
    named |= {f"votes{choice}": str(chosen.count(choice)) for choice in _CHOICES}
    return {**named, "triplet_type": cells[TYPE].strip()}


def faces(cells: list[str]) -> list[Face]:
    """The three faces of a row; raises Refused for an invalid box."""
    return [face(cells[at : at + FACE_CELLS]) for at in range(0, TYPE, FACE_CELLS)]


def explain(table: str, source: Source) -> str:
    """What was recognised, and what to do about missing pictures."""
    missing = [r for r in source.rejections if r.reason == Reason.MISSING_PICTURE]
    text = (
        f"'{table}' is Google's own FEC file: it has no header, its faces are URLs with boxes, "
        "and its votes were counted from the annotators' choices"
    )
    if not missing:
        return text
    return (
        f"{text}. {len(missing)} faces have no picture in --images, which should have each face "
        f"cut out by its box, as ID.jpg, such as {missing[0].source}.jpg; run `preprocess fetch "
        f"--csv={table} --output=DIR` to download and crop them to DIR/images"
    )


def face(cells: list[str]) -> Face:
    """The face of a URL and a box; raises Refused for an invalid box."""
    url, *edges = (cell.strip() for cell in cells)
    if not url.startswith(_SCHEMES):
        raise Refused(Reason.BAD_ID, f"'{url[:80]}' is not a URL")
    try:
        left, right, top, bottom = (number(edge) for edge in edges)
    except ValueError:
        raise Refused(Reason.BAD_NUMBER, f"box {', '.join(edges)}"[:200]) from None
    if not (0 <= left < right <= 1 and 0 <= top < bottom <= 1):
        raise Refused(Reason.BAD_NUMBER, f"box {', '.join(edges)} is not inside its picture"[:200])
    stem = posixpath.splitext(posixpath.basename(urlsplit(url).path))[0]
    readable = re.sub(r"[^A-Za-z0-9_-]", "_", stem)[:40]
    hashed = hashlib.sha256(" ".join((url, *edges)).encode()).hexdigest()[:16]
    return Face(f"{readable}-{hashed}", url, (left, right, top, bottom))
