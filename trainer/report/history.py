"""The curves of a run: loss, accuracy with its interval, learning rate, over epochs."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, NullLocator

from preprocess.shell.atomic import write_bytes
from trainer.monitoring.metric_rows import Row, accuracy_name, column
from trainer.report import style
from trainer.report.curves import VALIDATION, Curve, curves
from trainer.report.figures import percent


def history_figure(
    history: Sequence[Row], title: str, first: str = VALIDATION, chance: float | None = None
) -> Figure:
    """Draws a run: loss and accuracy side by side, the learning rate below the loss.

    Epochs, loss and learning rate are on log axes. The training curve lies half an epoch to
    the left, because it is an average over the epoch. An accuracy is shaded by its interval.

    Args:
      history: rows of metrics.jsonl, in order; gaps (None, NaN), zeros, a single row and no
        row at all are fine.
      title: shown as plain text.
      first: the name of the first validation split, whose columns are `val_...`.
      chance: the accuracy of guessing, drawn as a line; None = no line.
    """
    figure = style.new_figure(10, 4.6)
    figure.suptitle(
        style.plain(title), x=0.008, ha="left", fontsize=11, color=style.INK, weight="bold"
    )
    grid = figure.add_gridspec(2, 2, height_ratios=(3, 1))
    loss = figure.add_subplot(grid[0, 0])
    rate = figure.add_subplot(grid[1, 0], sharex=loss)
    accuracy = figure.add_subplot(grid[:, 1])

    metric = accuracy_name(history)
    _draw(loss, "Loss", curves(history, "loss", first), log=True)
    _draw(
        accuracy, metric.replace("_", " ").capitalize(), curves(history, metric, first), log=False
    )
    if chance is not None:
        accuracy.axhline(chance, color=style.FAINT, linewidth=1, linestyle=(0, (4, 3)))
        accuracy.annotate(
            f"chance {percent(chance)}",
            (1, chance),
            xycoords=("axes fraction", "data"),
            xytext=(-2, 3),
            textcoords="offset points",
            ha="right",
            fontsize=7.5,
            color=style.FAINT,
        )
    accuracy.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:g}%"))

    epochs = column(history, "epoch")
    rates = Curve(
        "", "", epochs, column(history, "learning_rate"), *np.full((2, len(epochs)), np.nan)
    )
    _draw(rate, "Learning rate", [rates] if np.isfinite(rates.values).any() else [], log=True)
    for axes in (accuracy, rate):
        axes.set_xlabel("epoch", fontsize=8, color=style.INK)
    last = np.nanmax(epochs) if np.isfinite(epochs).any() else 1.0
    for axes in (loss, accuracy, rate):
        _epoch_axis(axes, max(1.0, last))
    loss.tick_params(labelbottom=False)
    return figure


def parts_figure(history: Sequence[Row], names: Sequence[str], first: str = VALIDATION) -> Figure:
    """Draws the figures of a task's parts over epochs, those of a loss on a log axis.

    Args:
      history: rows of metrics.jsonl, as history_figure() takes them.
      names: of the figures, one or more, such as `class_loss` and `r2`.
      first: the name of the first validation split.
    """
    figure = style.new_figure(10, 3.2)
    all_axes = figure.subplots(1, len(names), squeeze=False)[0]
    epochs = column(history, "epoch")
    last = np.nanmax(epochs) if np.isfinite(epochs).any() else 1.0
    for axes, name in zip(all_axes, names, strict=True):
        log = name.endswith("_loss")
        _draw(axes, name.replace("_", " ").capitalize(), curves(history, name, first), log=log)
        axes.set_xlabel("epoch", fontsize=8, color=style.INK)
        _epoch_axis(axes, max(1.0, last))
    return figure


def save(history: Sequence[Row], title: str, path: str | os.PathLike[str]) -> None:
    """Writes `history_figure` as a PNG file, whole or not at all."""
    write_bytes(path, style.figure_png(history_figure(history, title)), sync=False)


def _draw(axes: Axes, title: str, lines: Sequence[Curve], log: bool) -> None:
    style.quiet(axes)
    axes.set_title(title, loc="left", fontsize=9)
    if not lines:
        note = {"ha": "center", "color": style.FAINT, "fontsize": 8}
        axes.text(0.5, 0.5, "no values", transform=axes.transAxes, **note)
        return
    if log and any((line.values > 0).any() for line in lines):
        axes.set_yscale("log")
    colors = iter(style.SPLITS * len(lines))
    for line in lines:
        training = line.label == "training"
        color = style.TRAIN if training or not line.label else next(colors)
        _draw_curve(axes, line, color, log=axes.get_yscale() == "log")
    if axes.get_yscale() == "log":
        _plain_log_ticks(axes)
    if any(line.label for line in lines):
        axes.legend(frameon=False, fontsize=8, labelcolor=style.INK, loc="best")


def _draw_curve(axes: Axes, line: Curve, color: str, log: bool) -> None:
    values = np.where(line.values > 0, line.values, np.nan) if log else line.values
    axes.plot(
        line.epochs,
        values,
        color=color,
        linewidth=1.6,
        marker="o",
        markersize=3.2 if len(values) <= 60 else 0,
        label=style.plain(line.label) or None,
    )
    has_interval = np.isfinite(line.low) & np.isfinite(line.high) & np.isfinite(line.values)
    if has_interval.any():
        band = (line.epochs, line.low, line.high, has_interval)
        axes.fill_between(*band, color=color, alpha=0.16, linewidth=0)
        # A band needs two neighbouring points; a lone one gets a bar.
        padded = np.pad(has_interval, 1)
        lone = has_interval & ~padded[:-2] & ~padded[2:]
        if lone.any():
            errors = np.abs(np.stack([line.low, line.high]) - line.values)[:, lone]
            at = (line.epochs[lone], line.values[lone])
            axes.errorbar(*at, errors, color=color, capsize=3, linestyle="none")
    if log and (line.values == 0).any():
        # A log axis has no zero: an arrow on its floor says that the value lies below.
        zero = line.epochs[line.values == 0]
        axes.plot(
            zero,
            np.zeros_like(zero),
            marker="v",
            color=color,
            linestyle="none",
            clip_on=False,
            transform=axes.get_xaxis_transform(),
        )


def _epoch_axis(axes: Axes, last: float) -> None:
    """Log epochs from just before the first training point, labelled with integers."""
    axes.set_xscale("log")
    axes.set_xlim(0.45, last * 1.12)
    ticks = _one_two_five(last)
    axes.set_xticks(ticks, labels=[f"{each:g}" for each in ticks])
    axes.xaxis.set_minor_formatter(NullFormatter())


def _one_two_five(last: float) -> list[float]:
    ticks, decade = [], 1.0
    while decade <= last:
        ticks += [each for each in (decade, 2 * decade, 5 * decade) if each <= last]
        decade *= 10
    # The last epoch is labelled too, unless its label would touch the one before it.
    return ticks if last < 1.15 * ticks[-1] else [*ticks, last]


def _plain_log_ticks(axes: Axes) -> None:
    """Ticks written out (0.05, not 5 times ten to the minus two), the closer the less they span."""
    low, high = axes.dataLim.intervaly
    if high - low < 1e-6 * high:  # one value, such as a constant rate: its own tick says it all
        axes.set_yticks([high], labels=[f"{high:g}"])
        axes.yaxis.set_minor_locator(NullLocator())
        return
    subs = (1, 1.5, 2, 3, 5, 7) if high < 10 * max(low, 1e-300) else (1, 3)
    axes.yaxis.set_major_locator(LogLocator(base=10, subs=subs, numticks=12))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())
