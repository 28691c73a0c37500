"""Picture files of any kind as bytes that TensorFlow decodes as the build would.

A file that the build stores as it is goes through as it is; any other (turned by EXIF,
transparent, palette, 16 bits, CMYK, another format) is decoded by the build's rules and becomes
a PNG.
"""

from __future__ import annotations

import io
import warnings
from typing import Any

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

MAX_PIXELS = 64_000_000  # the same limit the build has
_UPRIGHT = (None, 1)
_ORIENTATION = 0x0112


class UnreadablePicture(Exception):
    """A file that is no whole picture; the message says why."""


def file_bytes(path: str) -> bytes:
    """The bytes of an upright 8-bit JPEG or PNG, RGB or grey; raises UnreadablePicture.

    Pixels of a file that goes through as it is are not looked at: damage among them is found
    where it is decoded.
    """
    try:
        with open(path, "rb") as file:
            data = file.read()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(data)) as picture:
                if picture.width * picture.height > MAX_PIXELS:
                    raise UnreadablePicture(f"{picture.width} x {picture.height} pixels")
                return data if _goes_through(picture) else _as_png(picture)
    except UnreadablePicture:
        raise
    except UnidentifiedImageError:
        raise UnreadablePicture("not a picture of a known format") from None
    except OSError as error:
        raise UnreadablePicture(error.strerror or str(error)) from None
    except Exception as error:  # Pillow raises a dozen kinds for hostile bytes
        raise UnreadablePicture(str(error) or type(error).__name__) from None


def _goes_through(picture: Any) -> bool:
    return (
        picture.format in ("JPEG", "PNG")
        and picture.mode in ("L", "RGB")
        and not picture.has_transparency_data
        and picture.getexif().get(_ORIENTATION) in _UPRIGHT
    )


def _as_png(picture: Any) -> bytes:
    upright = _eight_bits(ImageOps.exif_transpose(picture) or picture)
    if upright.mode not in ("L", "RGB"):
        upright = upright.convert("L" if upright.mode in ("1", "LA", "La") else "RGB")
    buffer = io.BytesIO()
    upright.save(buffer, format="PNG", compress_level=1, exif=b"")
    return buffer.getvalue()


def _eight_bits(picture: Any) -> Any:
    """Modes that Pillow's plain conversion would clip or make black."""
    if picture.mode.startswith("I"):
        wide = np.asarray(picture).astype(np.float32)
        return Image.fromarray(np.rint(np.clip(wide / 257, 0, 255)).astype(np.uint8))
    if picture.has_transparency_data:
        grey = picture.mode in ("1", "L", "LA", "La")
        above = picture.convert("RGBA")
        flat = Image.alpha_composite(Image.new("RGBA", above.size, "white"), above)
        return flat.convert("L" if grey else "RGB")
    return picture
