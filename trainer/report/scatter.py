"""Predicted over true numbers, a plot a number; on the line they are equal."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from preprocess.shell.json_text import JsonObject
from trainer.report import style

MOST_PLOTS = 9


def scatter_figure(rows: Sequence[JsonObject]) -> Figure:
    """Draws rows with `target` and `points` [true, predicted]; the first MOST_PLOTS."""
    rows = rows[:MOST_PLOTS]
    columns = min(3, len(rows))
    lines = -(-len(rows) // columns)
    figure = style.new_figure(3.4 * columns + 0.4, 3.4 * lines)
    for at, row in enumerate(rows):
        axes = figure.add_subplot(lines, columns, at + 1)
        style.quiet(axes)
        points = np.asarray(row["points"], np.float64).reshape(-1, 2)
        axes.scatter(points[:, 0], points[:, 1], s=8, alpha=0.5, color=style.SPLITS[0], linewidth=0)
        if len(points):
            ends = [points.min(), points.max()]
            axes.plot(ends, ends, color=style.FAINT, linewidth=1)
        axes.set_title(style.plain(row["target"]), fontsize=9)
        axes.set_xlabel("true", fontsize=9, color=style.INK)
        axes.set_ylabel("predicted", fontsize=9, color=style.INK)
    return figure
