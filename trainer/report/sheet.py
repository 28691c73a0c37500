"""A canvas for contact sheets: pictures side by side with lines of text.

A sheet is drawn with Pillow on paper-coloured ground and returned as uint8 [H, W, 3];
`png` turns it into the bytes of a file.
"""

from __future__ import annotations

import io

import numpy as np
from PIL import Image, ImageDraw

from trainer.report import style

CELL = 128  # side of the square a picture is fitted into, pixels
GAP = 8
LINE = 18  # height of a line of text, pixels
TEXT = 13


class Sheet:
    """A canvas that pictures and lines of text are put on."""

    def __init__(self, width: int, height: int) -> None:
        self._image = Image.new("RGB", (width, height), style.PAPER)
        self._draw = ImageDraw.Draw(self._image)

    def picture(self, left: int, top: int, picture: np.ndarray, frame: str | None = None) -> None:
        """Fits a picture into the cell at (left, top), its sides in proportion."""
        image = Image.fromarray(to_rgb(picture))
        scale = CELL / max(image.size)
        size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
        # Enlarged pixels stay visible as they are; reduced ones are averaged.
        image = image.resize(
            size, Image.Resampling.NEAREST if scale >= 2 else Image.Resampling.LANCZOS
        )
        self._image.paste(image, (left + (CELL - size[0]) // 2, top + (CELL - size[1]) // 2))
        if frame:
            box = (left, top, left + CELL - 1, top + CELL - 1)
            self._draw.rectangle(box, outline=frame, width=3)

    def length(self, text: str, bold: bool = False) -> int:
        """Width of a text in pixels."""
        return int(self._draw.textlength(text, font=style.font(TEXT, text, bold)))

    def text(
        self,
        left: int,
        top: int,
        text: str,
        color: str,
        bold: bool = False,
        width: int | None = None,
        keep_end: bool = False,
    ) -> int:
        """Writes one line, cut to `width` pixels with an ellipsis; returns the width used.

        `keep_end` cuts at the front: paths differ at their ends.
        """
        text = " ".join(text.split())
        if width is not None and self.length(text, bold) > width:
            while text and self.length(text + "…", bold) > width:
                text = text[1:] if keep_end else text[:-1]
            text = f"…{text}" if keep_end else f"{text}…"
        self._draw.text((left, top), text, fill=color, font=style.font(TEXT, text, bold))
        return self.length(text, bold)

    def pixels(self) -> np.ndarray:
        """What was drawn, uint8 [H, W, 3]."""
        return np.asarray(self._image)


def png(pixels: np.ndarray) -> bytes:
    """uint8 [H, W, 3] as the bytes of a PNG file."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG")  # optimize takes ten times as long
    return buffer.getvalue()


def to_rgb(picture: np.ndarray) -> np.ndarray:
    """Any picture [H, W, 1 or 3] of 0 to 255 as uint8 [H, W, 3]; NaN becomes black."""
    pixels = np.clip(np.nan_to_num(np.asarray(picture, dtype=np.float32)), 0, 255)
    if pixels.ndim == 2:
        pixels = pixels[..., np.newaxis]
    rounded = np.rint(pixels).astype(np.uint8)
    return np.repeat(rounded, 3, axis=2) if rounded.shape[2] == 1 else rounded[..., :3]
