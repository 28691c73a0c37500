"""The confusion matrix as a figure: rows are true classes, columns what the model said."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from trainer.report import style
from trainer.report.fonts import fonts_for

MOST_NUMBERED = 20  # classes up to which every cell carries its count
MOST_NAMED = 60  # classes up to which every row carries its name
MOST_DRAWN = 500  # rows and columns: more than the picture has pixels for
_LONGEST_NAME = 24  # letters


def confusion_figure(cells: Sequence[Sequence[int]], classes: Sequence[str]) -> Figure:
    """Draws a confusion matrix, coloured by the share of the row.

    Args:
      cells: [true, predicted, pictures] of each pair of class numbers that is not 0.
      classes: the names. Of more than MOST_DRAWN neighbours are drawn as one.
    """
    size = min(len(classes), MOST_DRAWN)
    counts = np.zeros((size, size), np.int64)
    if len(cells):
        true, predicted, pictures = np.asarray(cells, np.int64).T
        places = (true * size // len(classes), predicted * size // len(classes))
        np.add.at(counts, places, pictures)
    totals = counts.sum(axis=1, keepdims=True)
    shares = counts / np.maximum(totals, 1)  # a class without pictures has an empty row
    side = min(9.0, 2.6 + 0.55 * len(classes))
    figure = style.new_figure(side + 0.8, side)
    axes = figure.add_subplot()
    style.quiet(axes)
    axes.grid(False)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1.25)  # stops short of the darkest blue
    names = [_short(name) for name in classes] if len(classes) <= MOST_NAMED else []
    axes.set_xticks(
        range(len(names)), labels=names, rotation=45, ha="right", rotation_mode="anchor"
    )
    axes.set_yticks(range(len(names)), labels=names)
    families = [font.family for font in fonts_for("".join(names))]
    for label in (*axes.get_xticklabels(), *axes.get_yticklabels()):
        label.set_fontfamily(families)
    merged = "" if size == len(classes) else f", {len(classes)} classes in {size} groups"
    axes.set_xlabel(f"predicted{merged}", fontsize=9, color=style.INK)
    axes.set_ylabel(f"true{merged}", fontsize=9, color=style.INK)
    if len(classes) <= MOST_NUMBERED:
        for row, column in np.ndindex(counts.shape):
            if counts[row, column]:
                dark = shares[row, column] > 0.6
                color = "white" if dark else style.INK
                place = {"ha": "center", "va": "center", "fontsize": 8}
                axes.text(column, row, f"{counts[row, column]:g}", color=color, **place)
    return figure


def _short(name: str) -> str:
    name = name if len(name) <= _LONGEST_NAME else name[: _LONGEST_NAME - 1] + "…"
    return name.replace("$", r"\$")
