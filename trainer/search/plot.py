"""search.png: for every key of every stage, the metric over its values."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

from preprocess.shell.json_text import JsonObject
from trainer.report import style
from trainer.search.next_runs import Plan, Stage
from trainer.search.noise import Point, best_of, summarise
from trainer.search.search_run import Run, identity, points_of, value_text
from trainer.search.space import Params, Range, Space

PANELS_A_ROW = 3
_STAR, _DOT = 13, 5.5  # sizes of the best and the other means, points


def search_figure(space: Space, state: Plan, runs: Sequence[Run], title: str) -> Figure:
    """Draws a search: every run a faint dot, every point's mean with its 95 % interval.

    Args:
      space: what was searched.
      state: where the search stands.
      runs: all of them.
      title: shown as plain text.

    The best point of all is a star. A stage that varies one key joins its means by a line.
    """
    panels = [(stage, key) for stage in state.stages for key in stage.keys]
    columns = min(PANELS_A_ROW, len(panels))
    rows = math.ceil(len(panels) / columns)
    figure = style.new_figure(max(5.0, 3.6 * columns), 3.3 * rows + 0.4)
    figure.suptitle(
        title.replace("$", r"\$"), x=0.008, ha="left", fontsize=11, color=style.INK, weight="bold"
    )
    grid = figure.subplots(rows, columns, squeeze=False, sharey=True).ravel()
    # All points at once: the noise is pooled over them, also for a stage that repeats none.
    points = summarise(points_of(runs), runs, space.greater)
    for axes, (stage, key) in zip(grid, panels, strict=False):
        _panel(axes, space, stage, key, points)
    for at, axes in enumerate(grid):
        axes.set_visible(at < len(panels))
        if at % columns == 0:
            axes.set_ylabel(_words(space.metric), fontsize=8.5, color=style.INK)
        if "accuracy" in space.metric:
            axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:g}%"))
    return figure


def _panel(axes: Axes, space: Space, stage: Stage, key: str, everything: list[Point]) -> None:
    style.quiet(axes)
    best = best_of(everything)
    mine = {identity(params) for params in stage.points}
    points = [p for p in everything if p.mean is not None and identity(p.params) in mine]
    place = _places(axes, space, key, points)
    axes.set_xlabel(key, fontsize=8.5, color=style.INK)
    fixed = _fixed(space, stage, points)
    if fixed:
        axes.set_title(fixed, loc="left", fontsize=8)
    points.sort(key=lambda point: place(point.params))
    if len(stage.keys) == 1 and points:
        means = [point.mean for point in points]
        axes.plot([place(p.params) for p in points], means, color=style.GRID, linewidth=1.4)
    for point in points:
        x, mean = place(point.params), point.mean
        assert mean is not None
        color = style.BAD if point.failed else style.SPLITS[0]
        is_best = best is not None and identity(point.params) == identity(best.params)
        if point.interval:
            below, above = mean - point.interval[0], point.interval[1] - mean
            bars = {"ecolor": color, "elinewidth": 1.1, "capsize": 2.5, "fmt": "none"}
            axes.errorbar([x], [mean], [[below], [above]], **bars)
        if len(point.values) > 1:
            faint = {"color": style.FAINT, "markersize": 3.5, "linestyle": "none", "marker": "o"}
            axes.plot([x] * len(point.values), point.values, zorder=3, alpha=0.75, **faint)
        marker = {"marker": "*", "markersize": _STAR} if is_best else {"marker": "o"}
        look: JsonObject = {"color": style.BAD if is_best else color, "markersize": _DOT}
        axes.plot([x], [mean], linestyle="none", zorder=4, **{**look, **marker})
        if is_best:
            near = {"textcoords": "offset points", "xytext": (9, 5), "fontsize": 8}
            axes.annotate("best", (x, mean), color=style.BAD, **near)


def _places(axes: Axes, space: Space, key: str, points: Sequence[Point]) -> Any:
    """Where a point stands on the axis of a key; sets up the axis.

    Numbers of a range stand at their value; choices side by side, which shows 0.25 and 0.5 as
    far apart as 4 and 8.
    """
    domains = [stage[key] for stage in space.stages if key in stage]
    ranges = [domain for domain in domains if isinstance(domain, Range)]
    if ranges:
        if ranges[0].log:
            axes.set_xscale("log")
            axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            axes.xaxis.set_minor_formatter(NullFormatter())
        return lambda params: params[key]
    chosen = {value for domain in domains if isinstance(domain, tuple) for value in domain}
    chosen |= {point.params[key] for point in points}
    numbers = all(isinstance(value, (int, float)) for value in chosen)
    values = sorted(chosen) if numbers else sorted(chosen, key=str)
    axes.set_xticks(range(len(values)), [value_text(value) for value in values])
    axes.set_xlim(-0.6, len(values) - 0.4)
    at = {value: number for number, value in enumerate(values)}
    return lambda params: at[params[key]]


def _fixed(space: Space, stage: Stage, points: Sequence[Point]) -> str:
    """The other keys' values, where a stage keeps them."""
    if not points:
        return "no run finished"
    params: Params = points[0].params
    kept = [key for key in space.keys if key not in stage.keys]
    return ", ".join(f"{key.rpartition('.')[2]} {value_text(params[key])}" for key in kept)


def _words(metric: str) -> str:
    return metric.replace("_", " ").replace("val ", "validation ").capitalize()
