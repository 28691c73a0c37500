"""Contact sheets of a run: the augmented batch, the worst mistakes."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from trainer.report import style
from trainer.report.sheet import CELL, GAP, LINE, Sheet


@dataclasses.dataclass(frozen=True)
class TripletMistake:
    """A triplet whose odd one the model did not find.

    `pictures` uint8 [3, H, W, C] (or a sequence of three [H, W, C]); `votes` [3], the share of
    annotators who called each picture the odd one; `distances` [3], the model's squared
    distances between pictures 1-2, 1-3 and 2-3.
    """

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


@dataclasses.dataclass(frozen=True)
class ClassMistake:
    """A picture, uint8 [H, W, C], given another class than its own; `probability` of that one."""

    picture: np.ndarray
    true: str
    predicted: str
    probability: float


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


def mistakes_sheet(
    items: Sequence[TripletMistake] | Sequence[ClassMistake], columns: int | None = None
) -> np.ndarray:
    """The mistakes given, in their order: the first is at the top left.

    Args:
      items: all triplets or all classes; none at all gives a sheet that says so.
      columns: items in a row; by default 3 triplets or 6 pictures.

    Returns:
      uint8 [H', W', 3].
    """
    if not items:
        sheet = Sheet(3 * CELL, 3 * LINE)
        sheet.text(GAP, LINE, "no mistakes to show", style.FAINT)
        return sheet.pixels()
    triplets = isinstance(items[0], TripletMistake)
    width = (3 * (CELL + 2) + 3 * GAP) if triplets else CELL + 2 * GAP
    height = CELL + (3 if triplets else 2) * LINE + 3 * GAP
    columns = max(1, min(columns or (3 if triplets else 6), len(items)))
    sheet = Sheet(columns * width + GAP, -(-len(items) // columns) * height + GAP)
    for at, item in enumerate(items):
        left, top = GAP + at % columns * width, GAP + at // columns * height
        if isinstance(item, TripletMistake):
            _triplet(sheet, left, top, item)
        elif isinstance(item, ClassMistake):
            _class(sheet, left, top, item)
    return sheet.pixels()


def _triplet(sheet: Sheet, left: int, top: int, item: TripletMistake) -> None:
    for at, picture in enumerate(item.pictures):
        x = left + at * (CELL + 2)
        frame = style.GOOD if at == item.odd else style.BAD if at == item.chosen else None
        sheet.picture(x, top, picture, frame)
        color = style.GOOD if at == item.odd else style.INK
        sheet.text(x, top + CELL + 4, f"odd to {item.votes[at]:.0%}", color)
        if at == item.odd:
            sheet.text(x, top + CELL + 4 + LINE, "people’s choice", style.GOOD, bold=True)
        elif at == item.chosen:
            sheet.text(x, top + CELL + 4 + LINE, "model’s choice", style.BAD, bold=True)
    pairs = zip(("1–2", "1–3", "2–3"), item.distances, strict=True)
    distances = "  ·  ".join(f"{pair}: {distance:.3g}" for pair, distance in pairs)
    sheet.text(left, top + CELL + 4 + 2 * LINE, f"distances  {distances}", style.FAINT)


def _class(sheet: Sheet, left: int, top: int, item: ClassMistake) -> None:
    sheet.picture(left, top, item.picture)
    sheet.text(left, top + CELL + 4, item.true, style.GOOD, width=CELL)
    share = f"{item.probability:.0%}"
    room = CELL - GAP - sheet.length(share)
    used = sheet.text(left, top + CELL + 4 + LINE, item.predicted, style.BAD, width=room)
    sheet.text(left + used + GAP, top + CELL + 4 + LINE, share, style.BAD)
