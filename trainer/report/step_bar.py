"""Where the time of a step goes, as one stacked bar."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from preprocess.shell.json_text import JsonObject
from trainer.monitoring.metric_rows import Row, number, typical
from trainer.report import style

# The parts of a step in their order: the stages of a verdict, then what the loop itself can
# measure. Input is blue, darker the nearer to the disk; the device is yellow to red; waiting for
# others and Python are apart from both. Neighbours differ in lightness too.
COLORS = {
    "storage": "#08306b",
    "parse": "#2171b5",
    "decode": "#56b4e9",
    "host_map": "#0072b2",
    "table": "#a6d3ee",
    "waiting for input": "#0072b2",
    "transfer": "#f0e442",
    "device_preprocess": "#e69f00",
    "the step": "#d55e00",
    "model": "#d55e00",
    "collective": "#cc79a7",
    "host_overhead": "#5b6068",
    "Python between": "#5b6068",
}
_UNKNOWN = "#d9d6d0"
REST = "not measured"

_WIDTH = 10.0  # inches
_COLUMNS = 4  # of the key
_LEAST_LABEL = 0.06  # of the bar, below which a part's share is in the key only


def step_shares(bottleneck: JsonObject, history: Sequence[Row]) -> dict[str, float]:
    """A step's parts: by stage where a verdict has `shares`, else as the loop tells them apart.

    Args:
      bottleneck: that of report.json.
      history: rows of metrics.jsonl.

    Returns:
      Shares of a step; {} if neither is known.
    """
    known = {name: number(share) for name, share in (bottleneck.get("shares") or {}).items()}
    known = {name: share for name, share in known.items() if share > 0}
    if known:
        return known
    wait, host = typical(history, "input_wait_fraction"), typical(history, "host_fraction")
    if math.isnan(wait + host):
        return {}
    step = max(0.0, 1.0 - wait - host)
    return {"waiting for input": wait, "the step": step, "Python between": host}


def step_bar_figure(shares: Mapping[str, float], step_ms: float) -> Figure:
    """Draws a step as one bar, its parts in the order of COLORS, with a key in per cent and ms.

    Args:
      shares: of a step, by stage or part; what is no number, or not above 0, is left out. Other
        names follow in a light colour. A sum below 1 leaves a rest, one above 1 is scaled down.
      step_ms: milliseconds of a step; NaN = the key has per cent only.
    """
    parts = _parts(shares)
    rows = max(1, -(-len(parts) // _COLUMNS))
    figure = style.new_figure(_WIDTH, 1.05 + 0.27 * rows)
    grid = figure.add_gridspec(2, 1, height_ratios=(0.75, 0.27 * rows))
    bar, key = figure.add_subplot(grid[0]), figure.add_subplot(grid[1])
    total = "" if math.isnan(step_ms) else f": {_milliseconds(step_ms)}"
    bar.set_title(f"A step{total}", loc="left", fontsize=9, color=style.INK)
    for axes in (bar, key):
        axes.set_axis_off()
    bar.set_xlim(0, 1)
    bar.set_ylim(0, 1)
    _draw_bar(bar, parts)
    _draw_key(key, parts, rows, step_ms)
    return figure


def _parts(shares: Mapping[str, object]) -> list[tuple[str, float]]:
    known = {name: number(share) for name, share in shares.items()}
    known = {name: share for name, share in known.items() if share > 0}
    names = [name for name in COLORS if name in known]
    names += [name for name in known if name not in COLORS]
    total = sum(known.values())
    parts = [(name, known[name] / max(1.0, total)) for name in names]
    # A rest that rounds to 0 % is none.
    return [*parts, (REST, 1 - total)] if parts and total < 0.995 else parts


def _draw_bar(axes: Axes, parts: list[tuple[str, float]]) -> None:
    left = 0.0
    for name, share in parts:
        color = COLORS.get(name, _UNKNOWN)
        axes.barh(0.5, share, 0.9, left, color=color, edgecolor=style.PAPER, linewidth=1.2)
        if share >= _LEAST_LABEL:
            ink = style.INK if _is_light(color) else "#ffffff"
            axes.text(
                left + share / 2, 0.5, f"{share:.0%}", color=ink, fontsize=9, ha="center",
                va="center", weight="bold",
            )  # fmt: skip
        left += share


def _draw_key(axes: Axes, parts: list[tuple[str, float]], rows: int, step_ms: float) -> None:
    axes.set_xlim(0, _COLUMNS)
    axes.set_ylim(rows, 0)
    for at, (name, share) in enumerate(parts):
        row, column = divmod(at, _COLUMNS)
        color = COLORS.get(name, _UNKNOWN)
        axes.add_patch(Rectangle((column, row + 0.22), 0.06, 0.56, facecolor=color))
        figures = f"{100 * share:.1f} %"
        if not math.isnan(step_ms):
            figures += f"  {_milliseconds(share * step_ms)}"
        label = style.plain(name if len(name) <= 20 else f"{name[:19]}…")
        place = {"va": "center", "fontsize": 8}
        axes.text(column + 0.09, row + 0.5, label, color=style.INK, **place)
        axes.text(column + 0.93, row + 0.5, figures, color=style.INK, ha="right", **place)


def _milliseconds(value: float) -> str:
    """Three digits where there are decimals: 0.42 ms, 12.3 ms, 1,234 ms."""
    digits = 2 if value < 9.995 else 1 if value < 99.95 else 0
    return f"{value:,.{digits}f} ms"


def _is_light(color: str) -> bool:
    """Whether dark type reads better on it than white (relative luminance of WCAG 2, roughly)."""
    red, green, blue = to_rgb(color)
    return 0.2126 * red**2.2 + 0.7152 * green**2.2 + 0.0722 * blue**2.2 > 0.25
