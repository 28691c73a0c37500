"""Picture files of any kind, brought to the shape a run was trained on."""

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
                picture = upright.convert("RGB" if channels == 3 else "L")
    except UnreadablePicture:
        raise
    except Exception as error:  # Pillow raises a dozen kinds for hostile bytes
        raise UnreadablePicture(str(error) or type(error).__name__) from None
    pixels = np.asarray(_resized(picture, width, height, resize_mode))
    return pixels.reshape(height, width, channels)


def _resized(picture: Any, width: int, height: int, mode: str) -> Any:
    if picture.size == (width, height):
        return picture
    if mode == "pad":
        return ImageOps.pad(picture, (width, height), Image.Resampling.BILINEAR)
    if mode == "crop":
        return ImageOps.fit(picture, (width, height), Image.Resampling.BILINEAR)
    return picture.resize((width, height), Image.Resampling.BILINEAR)
