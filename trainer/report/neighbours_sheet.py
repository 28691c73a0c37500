"""The contact sheet of a picture and those nearest to it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from trainer.report import style
from trainer.report.sheet import CELL, GAP, LINE, Sheet

COLUMNS = 6
SAME = 1e-9  # a distance that is rounding only


@dataclasses.dataclass(frozen=True)
class Shown:
    """A picture, uint8 [H, W, C], with its name, distance and class ('' = not known)."""

    picture: np.ndarray
    name: str
    distance: float = 0.0
    label: str = ""


def neighbours_sheet(query: Shown, found: Sequence[Shown], title: str) -> np.ndarray:
    """The query on the left, its neighbours next to it, the nearest first.

    Args:
      query: the picture asked about.
      found: its neighbours in order.
      title: above all of them, such as what the distances are.

    Returns:
      uint8 [H', W', 3].
    """
    labelled = any(each.label for each in found)
    columns = max(1, min(COLUMNS, len(found)))
    lines = 3 if labelled else 2
    width, height = CELL + GAP, CELL + lines * LINE + 2 * GAP
    top, left = 2 * GAP + LINE, 2 * GAP + width
    rows = max(1, -(-len(found) // columns))
    wide = max(left + columns * width + GAP, 5 * CELL)  # room for the title
    sheet = Sheet(wide, top + rows * height + GAP)
    sheet.text(GAP, GAP, title, style.INK, bold=True, width=wide - 2 * GAP)
    sheet.picture(GAP, top, query.picture, style.TRAIN)
    sheet.text(GAP, top + CELL + 4, "asked about", style.FAINT)
    sheet.text(GAP, top + CELL + 4 + LINE, query.name, style.INK, width=CELL, keep_end=True)
    for at, each in enumerate(found):
        x, y = left + at % columns * width, top + at // columns * height
        sheet.picture(x, y, each.picture)
        y += CELL + 4
        sheet.text(x, y, f"{at + 1}.  {_distance(each.distance)}", style.INK)
        if each.label:
            sheet.text(x, y + LINE, each.label, style.GOOD, width=CELL)
        name_line = y + (lines - 1) * LINE
        sheet.text(x, name_line, each.name, style.FAINT, width=CELL, keep_end=True)
    return sheet.pixels()


def _distance(value: float) -> str:
    # The same picture in another batch differs by rounding: that is no distance.
    return f"{value:.4g}" if value >= SAME else "0"
