"""Precision, recall and F1 of labels over the threshold from which on they are given."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure

from preprocess.shell.json_text import JsonObject
from trainer.monitoring.metric_rows import column
from trainer.report import style

_LINES = (("precision", "precision"), ("recall", "recall"), ("F1", "f1"), ("macro F1", "f1_macro"))


def thresholds_figure(rows: Sequence[JsonObject], used: float) -> Figure:
    """Draws the table of thresholds; a dotted line is the threshold in use."""
    figure = style.new_figure(7.0, 3.6)
    axes = figure.add_subplot()
    style.quiet(axes)
    thresholds = column(rows, "threshold")
    for (label, name), color in zip(_LINES, style.SPLITS, strict=False):
        axes.plot(thresholds, column(rows, name), label=label, color=color)
    axes.axvline(used, color=style.FAINT, linestyle=":")
    axes.set_ylim(0, 1.02)
    axes.set_xlabel("threshold", fontsize=9, color=style.INK)
    axes.legend(fontsize=8, frameon=False)
    return figure
