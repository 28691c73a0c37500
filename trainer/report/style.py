"""The look that plots and sheets share: colours, type, and a figure that needs no display.

Colours are distinguished under the common colour blindnesses (Okabe and Ito's set); the
paper colour is light in both page themes, so that one picture serves both.
"""

from __future__ import annotations

import functools
import io

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import ImageFont

from trainer.report.fonts import font_file

PAPER = "#fbfaf8"
INK = "#26282c"
FAINT = "#8b8f96"
GRID = "#e4e2dd"
TRAIN = "#8b8f96"
SPLITS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
GOOD = "#009e73"
BAD = "#d55e00"
DPI = 144  # sharp on a screen with two dots a CSS pixel


def new_figure(width: float, height: float) -> Figure:
    """A figure of `width` x `height` inches on an Agg canvas, outside pyplot's global state."""
    figure = Figure(figsize=(width, height), dpi=DPI, facecolor=PAPER, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def quiet(axes: Axes) -> None:
    """Takes the noise off an axes: light grid, two thin spines, small type."""
    axes.set_facecolor(PAPER)
    axes.set_axisbelow(True)
    axes.grid(True, which="major", color=GRID, linewidth=0.8)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(FAINT)
    axes.tick_params(which="both", colors=INK, labelsize=8, width=0.6, length=3)
    axes.title.set_color(INK)


def plain(text: str) -> str:
    """Keeps matplotlib from reading a dollar sign in a name as mathematics."""
    return text.replace("$", r"\$")


def figure_png(figure: Figure) -> bytes:
    """The figure as the bytes of a PNG file; the same figure gives the same bytes."""
    buffer = io.BytesIO()
    figure.savefig(
        buffer, format="png", facecolor=figure.get_facecolor(), metadata={"Software": None}
    )
    return buffer.getvalue()


def font(size: int, text: str = "", bold: bool = False) -> ImageFont.FreeTypeFont:
    """The font at `size` pixels that has the letters of a text."""
    return _font(font_file(text, bold), size)


@functools.cache
def _font(path: str, size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(path, size)
