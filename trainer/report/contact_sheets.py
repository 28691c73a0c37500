"""Contact sheets of a run: the augmented batch, the worst mistakes."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import ClassVar, Protocol

import numpy as np

from trainer.report import style
from trainer.report.sheet import CELL, GAP, LINE, Sheet


class Mistake(Protocol):
    """An item of the sheet of mistakes, which draws itself.

    Attributes:
      width: pixels.
      lines: of text below the pictures.
      columns: items in a row of the sheet.
    """

    width: ClassVar[int]
    lines: ClassVar[int]
    columns: ClassVar[int]

    def draw(self, sheet: Sheet, left: int, top: int) -> None:
        """Draws the item with its upper left corner there."""


@dataclasses.dataclass(frozen=True)
class TripletMistake(Mistake):
    """A triplet whose odd one the model did not find.

    `pictures` uint8 [3, H, W, C] (or a sequence of three [H, W, C]); `votes` [3], the share of
    annotators who called each picture the odd one; `distances` [3], the model's squared
    distances between pictures 1-2, 1-3 and 2-3.
    """

    width = 3 * (CELL + 2) + 3 * GAP
    lines = 3
    columns = 3

    pictures: np.ndarray | Sequence[np.ndarray]
    votes: Sequence[float]
    distances: Sequence[float]

    @property
    def odd(self) -> int:
        """The picture most annotators called odd, from 0."""
        return int(np.argmax(self.votes))

    @property
    def chosen(self) -> int:
        """The picture left out of the model's closest pair, from 0."""
        return 2 - int(np.argmin(self.distances))

    def draw(self, sheet: Sheet, left: int, top: int) -> None:
        """Draws the three pictures, framed, with votes and distances."""
        for at, picture in enumerate(self.pictures):
            x = left + at * (CELL + 2)
            frame = style.GOOD if at == self.odd else style.BAD if at == self.chosen else None
            sheet.picture(x, top, picture, frame)
            color = style.GOOD if at == self.odd else style.INK
            sheet.text(x, top + CELL + 4, f"odd to {self.votes[at]:.0%}", color)
            if at == self.odd:
                sheet.text(x, top + CELL + 4 + LINE, "people’s choice", style.GOOD, bold=True)
            elif at == self.chosen:
                sheet.text(x, top + CELL + 4 + LINE, "model’s choice", style.BAD, bold=True)
        pairs = zip(("1–2", "1–3", "2–3"), self.distances, strict=True)
        distances = "  ·  ".join(f"{pair}: {distance:.3g}" for pair, distance in pairs)
        sheet.text(left, top + CELL + 4 + 2 * LINE, f"distances  {distances}", style.FAINT)


@dataclasses.dataclass(frozen=True)
class ClassMistake(Mistake):
    """A picture, uint8 [H, W, C], given another class than its own; `probability` of that one."""

    width = CELL + 2 * GAP
    lines = 2
    columns = 6

    picture: np.ndarray
    true: str
    predicted: str
    probability: float

    def draw(self, sheet: Sheet, left: int, top: int) -> None:
        """Draws the picture with both classes."""
        sheet.picture(left, top, self.picture)
        sheet.text(left, top + CELL + 4, self.true, style.GOOD, width=CELL)
        share = f"{self.probability:.0%}"
        room = CELL - GAP - sheet.length(share)
        used = sheet.text(left, top + CELL + 4 + LINE, self.predicted, style.BAD, width=room)
        sheet.text(left + used + GAP, top + CELL + 4 + LINE, share, style.BAD)


@dataclasses.dataclass(frozen=True)
class LabelsMistake(Mistake):
    """A picture, uint8 [H, W, C], given other labels than its own, both as a text."""

    width = 2 * CELL + 2 * GAP
    lines = 2
    columns = 4

    picture: np.ndarray
    true: str
    predicted: str

    def draw(self, sheet: Sheet, left: int, top: int) -> None:
        """Draws the picture with both sets of labels."""
        sheet.picture(left, top, self.picture)
        sheet.text(left, top + CELL + 4, self.true, style.GOOD, width=2 * CELL)
        sheet.text(left, top + CELL + 4 + LINE, self.predicted, style.BAD, width=2 * CELL)


def augmented_batch(before: np.ndarray, after: np.ndarray, columns: int = 8) -> np.ndarray:
    """What is stored, and below it what the model sees after the on-device layers.

    Args:
      before: uint8 [N, H, W, C], C = 1 or 3.
      after: float or uint8 [N, h, w, C], 0 to 255; what lies outside is clipped.
      columns: pictures in a row.

    Returns:
      uint8 [H', W', 3].

    Raises:
      ValueError: not the same number of pictures.
    """
    if len(before) != len(after):
        raise ValueError(f"{len(before)} pictures before and {len(after)} after: not the same")
    columns = max(1, min(columns, len(before)))
    bands = -(-len(before) // columns)
    margin = 84  # room for the row labels
    band_height = 2 * (CELL + GAP) + GAP
    sheet = Sheet(margin + columns * (CELL + GAP) + GAP, bands * band_height + GAP)
    for band in range(bands):
        top = GAP + band * band_height
        sheet.text(GAP, top + CELL // 2 - LINE, "stored", style.INK)
        sheet.text(GAP, top + CELL + GAP + CELL // 2 - LINE, "on device", style.INK)
        for column in range(min(columns, len(before) - band * columns)):
            at = band * columns + column
            left = margin + column * (CELL + GAP)
            sheet.picture(left, top, before[at])
            sheet.picture(left, top + CELL + GAP, after[at])
    return sheet.pixels()


def mistakes_sheet(items: Sequence[Mistake]) -> np.ndarray:
    """The mistakes given, in their order: the first is at the top left.

    Args:
      items: all of one kind; none at all gives an empty sheet with a note.

    Returns:
      uint8 [H', W', 3].
    """
    if not items:
        sheet = Sheet(3 * CELL, 3 * LINE)
        sheet.text(GAP, LINE, "no mistakes to show", style.FAINT)
        return sheet.pixels()
    kind = items[0]
    height = CELL + kind.lines * LINE + 3 * GAP
    columns = min(kind.columns, len(items))
    sheet = Sheet(columns * kind.width + GAP, -(-len(items) // columns) * height + GAP)
    for at, item in enumerate(items):
        item.draw(sheet, GAP + at % columns * kind.width, GAP + at // columns * height)
    return sheet.pixels()
