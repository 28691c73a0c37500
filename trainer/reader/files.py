"""Picture files of any kind, brought to the shape a run was trained on.

The rules are those of the build (upright, transparency on white, 16 bits by their upper half,
averaging where a side shrinks and cubic where it grows), by Pillow where the build has OpenCV:
training does not depend on the build's packages.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

MAX_PIXELS = 64_000_000  # the same limit the build has


class UnreadablePicture(Exception):
    """A file that is no whole picture; the message says why."""


def load_picture(path: str, shape: tuple[int, int, int], resize_mode: str) -> NDArray[np.uint8]:
    """uint8[H,W,C] of a file, upright, resized as the dataset was; raises UnreadablePicture."""
    height, width, channels = shape
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(path) as file:
                if file.width * file.height > MAX_PIXELS:
                    raise UnreadablePicture(f"{file.width} x {file.height} pixels")
                upright = ImageOps.exif_transpose(file) or file
                picture = _eight_bits(upright).convert("RGB" if channels == 3 else "L")
    except UnreadablePicture:
        raise
    except Exception as error:  # Pillow raises a dozen kinds for hostile bytes
        raise UnreadablePicture(str(error) or type(error).__name__) from None
    pixels = np.asarray(_resized(picture, width, height, resize_mode))
    return pixels.reshape(height, width, channels)


def _eight_bits(picture: Any) -> Any:
    """Modes that Pillow's plain conversion would clip or make black."""
    if picture.mode.startswith("I"):
        wide = np.asarray(picture).astype(np.float32)
        return Image.fromarray(np.rint(np.clip(wide / 257, 0, 255)).astype(np.uint8))
    if picture.has_transparency_data:
        above = picture.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", above.size, "white"), above)
    return picture


def _resized(picture: Any, width: int, height: int, mode: str) -> Any:
    if mode == "pad":
        factor = min(width / picture.width, height / picture.height)
        inner = (max(1, round(picture.width * factor)), max(1, round(picture.height * factor)))
        square = Image.new(picture.mode, (width, height))
        square.paste(_scaled(picture, *inner), ((width - inner[0]) // 2, (height - inner[1]) // 2))
        return square
    if mode == "crop":
        side = min(picture.size)
        left, top = (picture.width - side) // 2, (picture.height - side) // 2
        picture = picture.crop((left, top, left + side, top + side))
    return _scaled(picture, width, height)


def _scaled(picture: Any, width: int, height: int) -> Any:
    shrunk = (min(width, picture.width), min(height, picture.height))
    for size, method in (
        (shrunk, Image.Resampling.BOX),
        ((width, height), Image.Resampling.BICUBIC),
    ):
        if picture.size != size:
            picture = picture.resize(size, method)
    return picture
