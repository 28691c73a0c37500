"""Hostile bytes -> pixels: one picture file is decoded completely, or refused with its reason.

Pillow reads, because it is strict: `cv2.imdecode` returns the upper half of a truncated JPEG as
if it were whole. Where TensorFlow is stricter still, so are we, since one stored file that it
refuses would end a training: checksums of a PNG, stray markers among the pixels of a JPEG. Not
seen is other damage inside a JPEG's entropy-coded data, on which every libjpeg only warns and
continues; such a picture comes out with a smear, here as everywhere else.

What decides is what carries pixels. Where Pillow stumbles over the rest of a file (a profile of
megabytes, a text with a wrong checksum), it gets the file without it.

Colour profiles (ICC) are left out of it: pixels are taken as they are stored, because that is
what TensorFlow and OpenCV do with the same file, and training and serving have to see the same
numbers. Pillow's naive conversion is used for CMYK.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import threading
import warnings
from collections.abc import Iterator

import numpy as np
from PIL import Image, UnidentifiedImageError

from preprocess.pictures import gif, jpeg, png, webp
from preprocess.pictures.container import Container, check_size
from preprocess.pictures.limits import (
    FORMATS,
    LARGE_PIXELS,
    MAX_BYTES,
    MAX_READ_FACTOR,
)
from preprocess.pictures.refusal import PictureReason, Refused, one_line
from preprocess.pictures.signatures import described, tiff_bands

# Pillow warns of large pictures (our limit is stricter), garbage EXIF and the like. What matters
# becomes a refusal with the file's name next to it; the rest would only disturb the user. A filter
# for the whole process, because `warnings.catch_warnings` is not safe with threads.
warnings.filterwarnings("ignore", module=r"PIL\.")

_CONTAINERS = {module.SIGNATURE: module.inspect for module in (jpeg, png, gif, webp)}
_SIGNATURES = (*_CONTAINERS, b"II*\0", b"MM\0*")
_READ_ANYWAY = 1 << 20  # bytes, for the headers of small files
_BAND_PIXELS = 4_000_000  # of a transparent picture that are converted at a time
_EXIF_ORIENTATION = 0x0112
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# 16 bits -> 8 by scaling: 65535 = 257 * 255.
_EIGHT_BITS = ((np.arange(65_536) + 128) // 257).astype(np.uint8)
_large_picture = threading.RLock()


@dataclasses.dataclass(frozen=True)
class Decoded:
    """A whole, upright picture."""

    image: np.ndarray  # uint8[H, W, C], C = 1 (grey) or 3 (RGB)
    encoding: str | None  # what the file is: "jpeg", "png", or None for anything else
    # The file's own bytes may be stored: TensorFlow's decode_image reads the same pixels from them
    # (a JPEG to within rounding, a few grey levels, and exactly with dct_method INTEGER_ACCURATE).
    verbatim: bool


def decode(data: bytes) -> Decoded:
    """Decodes the first picture of a JPEG, PNG, GIF, BMP, WebP, TIFF or PPM/PGM file.

    Turned upright by its EXIF orientation; CMYK and YCbCr become RGB; 16 bits become 8 by
    scaling; palettes are resolved; transparency is laid over white, except where everything is
    transparent: such an alpha channel was never filled in, and viewers show the colours.

    Args:
      data: the file's bytes, whatever they are.

    Raises:
      Refused: with EMPTY_FILE, TOO_LARGE, NOT_A_PICTURE, DAMAGED_PICTURE, ANIMATED (more than one
        frame or page) or UNSUPPORTED_CHANNELS (pixels without a known range, such as floats).
        Nothing else is raised.
    """
    if not data:
        raise Refused(PictureReason.EMPTY_FILE, "the file has zero bytes")
    if len(data) > MAX_BYTES:
        raise Refused(PictureReason.TOO_LARGE, f"{len(data)} bytes; at most {MAX_BYTES} are read")
    try:
        return _decode(data)
    except Refused:
        raise
    except UnidentifiedImageError:
        raise _unidentified(data) from None
    except Image.DecompressionBombError as error:
        raise Refused(PictureReason.TOO_LARGE, one_line(error)) from None
    # Bytes from anywhere make Pillow raise SyntaxError, struct.error, OSError, ValueError,
    # KeyError, OverflowError, MemoryError and more: each of them is this file's fault.
    except Exception as error:
        raise Refused(PictureReason.DAMAGED_PICTURE, one_line(error)) from None


def _decode(data: bytes) -> Decoded:
    container = _container(data)
    with _alone_if_large(container.pixels):
        if data.startswith(gif.SIGNATURE):
            return _pixels(container.bare(), container)
        try:
            return _pixels(data, container)
        except Refused:
            raise
        except Exception:
            bare = container.bare()
            if len(bare) == len(data):
                raise
        return dataclasses.replace(_pixels(bare, container), verbatim=False)


def _container(data: bytes) -> Container:
    for signature, inspect in _CONTAINERS.items():
        if data.startswith(signature):
            return inspect(data)
    return Container(0, False, lambda: data)


def _pixels(data: bytes, container: Container) -> Decoded:
    with Image.open(_MeteredFile(data), formats=FORMATS) as picture:
        pixels = check_size(*picture.size)
        if getattr(picture, "is_animated", False) and picture.format != "MPO":
            raise Refused(
                PictureReason.ANIMATED, "more than one frame or page; one picture was expected"
            )
        with _alone_if_large(pixels):
            return _upright(picture, container)


def _upright(picture: Image.Image, container: Container) -> Decoded:
    picture.load()
    orientation = _orientation(picture)
    encoding = {"JPEG": "jpeg", "PNG": "png"}.get(picture.format or "")
    verbatim = (
        encoding is not None
        and container.plain
        and orientation not in _UPRIGHT
        and picture.mode in ("L", "RGB")
        and not picture.has_transparency_data
    )
    flat = _to_grey_or_rgb(picture)
    if orientation in _UPRIGHT:
        flat = flat.transpose(_UPRIGHT[orientation])
    pixels = np.array(flat, np.uint8)
    return Decoded(pixels.reshape(*pixels.shape[:2], -1), encoding, verbatim)


class _MeteredFile(io.BytesIO):
    """A file that refuses to be read many times over."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self._left = MAX_READ_FACTOR * len(data) + _READ_ANYWAY

    def read(self, size: int | None = -1, /) -> bytes:
        content = super().read(size)
        self._left -= len(content)
        if self._left < 0:
            raise Refused(
                PictureReason.TOO_LARGE,
                f"its parts overlap: they have more than {MAX_READ_FACTOR} times its size",
            )
        return content


@contextlib.contextmanager
def _alone_if_large(pixels: int) -> Iterator[None]:
    if pixels < LARGE_PIXELS:
        yield
        return
    with _large_picture:
        yield


def _orientation(picture: Image.Image) -> object:
    """The EXIF orientation, 1 (upright) if there is none that can be read.

    Asked after loading: a PNG may carry it behind the pixels, and TIFF is turned by then.
    """
    try:
        return picture.getexif().get(_EXIF_ORIENTATION, 1)
    except Exception:  # viewers show a picture whose camera data is garbage, and so do we
        return 1


def _to_grey_or_rgb(picture: Image.Image) -> Image.Image:
    """The picture in mode L or RGB."""
    mode = picture.mode
    # PGM and some PNG readers deliver 16-bit grey in 32-bit integers; elsewhere those may hold
    # anything.
    if mode.startswith("I;16") or (mode == "I" and picture.format in ("PNG", "PPM")):
        return Image.fromarray(_EIGHT_BITS[np.clip(np.asarray(picture), 0, 65_535)])
    if mode in ("I", "F", "LAB", "HSV"):
        raise Refused(
            PictureReason.UNSUPPORTED_CHANNELS,
            f"pixels of Pillow's mode {mode} have no known range; save as 8-bit grey or RGB",
        )
    if picture.has_transparency_data:
        return _over_white(picture, "L" if mode in ("1", "L", "LA", "La") else "RGB")
    if mode in ("1", "L", "RGB"):
        return picture.convert("L") if mode == "1" else picture
    return picture.convert("RGB")


def _over_white(picture: Image.Image, mode: str) -> Image.Image:
    """A transparent picture over white; without its alpha where that is zero everywhere."""
    filled = any(band.getchannel("A").getextrema() != (0, 0) for _, band in _bands(picture))
    flat = Image.new(mode, picture.size)
    for top, band in _bands(picture):
        if filled:
            band = Image.alpha_composite(Image.new("RGBA", band.size, "white"), band)
        flat.paste(band.convert(mode), (0, top))
    return flat


def _bands(picture: Image.Image) -> Iterator[tuple[int, Image.Image]]:
    """(first row, rows as RGBA) from top to bottom: all at once would be four times the memory."""
    width, height = picture.size
    rows = max(1, _BAND_PIXELS // width)
    for top in range(0, height, rows):
        yield top, picture.crop((0, top, width, min(top + rows, height))).convert("RGBA")


def _unidentified(data: bytes) -> Refused:
    if kind := described(data):
        return Refused(PictureReason.NOT_A_PICTURE, f"it is {kind}")
    if bands := tiff_bands(data):
        return Refused(
            PictureReason.UNSUPPORTED_CHANNELS, f"a TIFF of {bands}; save as 8-bit grey or RGB"
        )
    if data.startswith(_SIGNATURES):
        return Refused(
            PictureReason.DAMAGED_PICTURE, "it begins like a picture, but has no whole header"
        )
    return Refused(
        PictureReason.NOT_A_PICTURE,
        f"begins with {data[:8].hex(' ')}, which is none of {', '.join(FORMATS)}",
    )
