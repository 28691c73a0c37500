"""What the structure of a file says about it, before any pixel is decoded."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from preprocess.pictures.limits import MAX_PARTS, MAX_PIXELS, MAX_SIDE
from preprocess.pictures.refusal import PictureReason, Refused


@dataclasses.dataclass(frozen=True)
class Container:
    """A file whose structure holds.

    Attributes:
      pixels: width x height, as far as known from the structure; 0 = not.
      plain: TensorFlow reads the file as it is, without printing a line.
      bare: gives the file without what carries no pixels: for decoders that stumble over it.
    """

    pixels: int
    plain: bool
    bare: Callable[[], bytes]


def check_size(width: int, height: int) -> int:
    """Width x height; raises Refused above the limits."""
    if width * height > MAX_PIXELS or max(width, height) > MAX_SIDE:
        raise Refused(
            PictureReason.TOO_LARGE,
            f"{width}x{height} pixels; at most {MAX_PIXELS} and {MAX_SIDE} a side are decoded",
        )
    return width * height


def check_parts(count: int, what: str) -> None:
    """Raises Refused if a file has too many parts to be walked through by a decoder."""
    if count > MAX_PARTS:
        raise Refused(PictureReason.TOO_LARGE, f"more than {MAX_PARTS} {what}")
