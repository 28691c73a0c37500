"""Contact sheets: what a data set holds, as one picture to look at. Pure drawing.

Titles come from users' files and may hold anything: only printable characters are drawn, each
text on a strip of its own, so nothing gets out of its place.
"""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from preprocess.shards.encode import fit

_PAPER = (250, 250, 248)
_EMPTY = (226, 226, 222)  # what a picture does not fill: not black, which a warp might have left
_INK = (32, 32, 36)
_FAINT = (110, 110, 116)
_ODD = (226, 112, 20)  # the frame of the odd one out
_FONT_SIZE = 13  # pixels
_LINE = 20  # pixels, height of a line of text
_GAP = 4  # pixels between cells
_FRAME = 4  # pixels, drawn over the gap around a picture
_CLEAR_VOTE = 0.5  # above it there is a clear odd one out: the rule of the triplet accuracy
_LONGEST_TEXT = 500  # characters looked at; no sheet is wide enough for more


def variants_sheet(
    rows: Sequence[tuple[str, Sequence[np.ndarray]]], columns: Sequence[str], cell: int = 112
) -> np.ndarray:
    """A row a picture, a column a variant.

    Args:
      rows: of each picture the title (its id, its class) and its variants, uint8[h, w, 1 or 3];
        sizes may differ, a short row leaves cells free.
      columns: the titles of the columns.
      cell: side of a cell, pixels; pictures are scaled into it with their aspect ratio kept.

    Returns:
      uint8[H, W, 3] RGB.

    Raises:
      ValueError: where a row has more pictures than there are columns, or there is none.
    """
    widest = max((len(pictures) for _, pictures in rows), default=0)
    if not columns or widest > len(columns):
        raise ValueError(f"{widest} pictures in a row, but {len(columns)} column titles")
    step = cell + _GAP
    row_height = _LINE + step
    sheet = _blank(_LINE + len(rows) * row_height + _GAP, len(columns) * step + _GAP)
    for j, column in enumerate(columns):
        _write(sheet, column, _GAP + j * step, 0, cell, _FAINT)
    for i, (title, pictures) in enumerate(rows):
        top = _LINE + i * row_height
        _write(sheet, title, _GAP, top, sheet.width - 2 * _GAP)
        for j, picture in enumerate(pictures):
            _place(sheet, picture, _GAP + j * step, top + _LINE, cell)
    return np.asarray(sheet)


def triplets_sheet(
    triplets: Sequence[tuple[Sequence[np.ndarray], Sequence[float], str]],
    cell: int = 112,
    across: int = 2,
) -> np.ndarray:
    """Triplets side by side: the type, three pictures, and under each its share of the votes.

    The odd one out is framed where the votes are clear (above 0.5, the triplets an accuracy
    counts).

    Args:
      triplets: of each the three pictures uint8[h, w, 1 or 3], the three votes, and the type.
      cell: side of a picture's cell, pixels.
      across: triplets side by side.

    Returns:
      uint8[H, W, 3] RGB.

    Raises:
      ValueError: where a triplet has not three pictures and three votes, or `across` is below 1.
    """
    if across < 1:
        raise ValueError(f"across must be at least 1, got {across}")
    step = cell + _GAP
    panel_width, panel_height = 3 * step + 4 * _GAP, 2 * _LINE + cell + 3 * _GAP
    down = -(-len(triplets) // across)
    beside = max(1, min(across, len(triplets)))
    sheet = _blank(down * panel_height + 2 * _GAP, beside * panel_width + _GAP)
    for number, (pictures, votes, title) in enumerate(triplets):
        if len(pictures) != 3 or len(votes) != 3:
            raise ValueError(
                f"a triplet has 3 pictures and 3 votes, got {len(pictures)} and {len(votes)}"
            )
        left = 2 * _GAP + number % across * panel_width
        top = _GAP + number // across * panel_height
        _write(sheet, title, left, top, 3 * step - _GAP, _FAINT)
        odd = int(np.argmax(votes))
        for i, (picture, vote) in enumerate(zip(pictures, votes, strict=True)):
            x, y = left + i * step, top + _LINE + _GAP
            if i == odd and vote > _CLEAR_VOTE:
                _frame(sheet, x, y, cell)
            _place(sheet, picture, x, y, cell)
            _write(sheet, f"{vote:.2f}", x, y + cell + _GAP, cell, _INK)
    return np.asarray(sheet)


def _blank(height: int, width: int) -> Image.Image:
    return Image.new("RGB", (width, height), _PAPER)


def _frame(sheet: Image.Image, x: int, y: int, cell: int) -> None:
    box = (x - _FRAME, y - _FRAME, x + cell + _FRAME - 1, y + cell + _FRAME - 1)
    ImageDraw.Draw(sheet).rectangle(box, fill=_ODD)


def _place(sheet: Image.Image, picture: np.ndarray, x: int, y: int, cell: int) -> None:
    """Draws a picture in the middle of its cell."""
    sheet.paste(_EMPTY, (x, y, x + cell, y + cell))
    scaled = fit(picture, cell)
    height, width, channels = scaled.shape
    rgb = np.repeat(scaled, 3, axis=2) if channels == 1 else scaled
    sheet.paste(Image.fromarray(rgb), (x + (cell - width) // 2, y + (cell - height) // 2))


def _write(
    sheet: Image.Image,
    text: str,
    x: int,
    y: int,
    width: int,
    ink: tuple[int, int, int] = _INK,
) -> None:
    """Draws one line of text on a strip of its own, `width` pixels wide, and pastes that."""
    strip = Image.new("RGB", (max(1, width), _LINE), _PAPER)
    ImageDraw.Draw(strip).text((0, 1), _shorten(text, width), fill=ink, font=_font())
    sheet.paste(strip, (x, y))


def _shorten(text: str, width: int) -> str:
    """The printable text, its middle left out where it is wider than `width` pixels.

    Both ends are kept, because ids and paths often differ only in their last characters.
    """
    clean = "".join(c if c.isprintable() else "\N{MIDDLE DOT}" for c in _ends(text, _LONGEST_TEXT))
    if _font().getlength(clean) <= width:
        return clean
    # The width grows with the characters kept: bisect for the most that fit.
    fitting, too_many = 0, len(clean)
    while too_many - fitting > 1:
        kept = (fitting + too_many) // 2
        if _font().getlength(_ends(clean, kept)) <= width:
            fitting = kept
        else:
            too_many = kept
    return _ends(clean, fitting)


def _ends(text: str, kept: int) -> str:
    """The first and last characters, `kept` in all, around an ellipsis for the others."""
    if len(text) <= kept:
        return text
    head = (kept + 1) // 2
    return text[:head] + "…" + text[len(text) - (kept - head) :]


@functools.cache
def _font() -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """DejaVu Sans, which has Cyrillic and Greek and comes with matplotlib; else Pillow's own."""
    # The package is located, not imported: matplotlib takes a while.
    package = importlib.util.find_spec("matplotlib")
    if package is not None and package.origin is not None:
        path = Path(package.origin).parent / "mpl-data/fonts/ttf/DejaVuSans.ttf"
        if path.is_file():
            # Basic layout: no shaping engine gets to see the users' text.
            return ImageFont.truetype(str(path), _FONT_SIZE, layout_engine=ImageFont.Layout.BASIC)
    return ImageFont.load_default(_FONT_SIZE)
