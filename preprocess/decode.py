"""Hostile bytes -> pixels: one picture file is decoded completely, or refused with its reason.

Pillow reads, because it is strict: `cv2.imdecode` returns the upper half of a truncated JPEG as
if it were whole. Where TensorFlow is stricter still, so are we, since one stored file that it
refuses would end a training: checksums of a PNG, stray markers among the pixels of a JPEG. Not
seen is other damage inside a JPEG's entropy-coded data, on which every libjpeg only warns and
goes on; such a picture comes out with a smear, here as everywhere else.

Colour profiles (ICC) are left out of it: pixels are taken as they are stored, because that is
what TensorFlow and OpenCV do with the same file, and training and serving have to see the same
numbers. Pillow's naive conversion is used for CMYK.
"""

from __future__ import annotations

import dataclasses
import io
import re
import warnings
import zlib

import numpy as np
from PIL import Image, UnidentifiedImageError

from preprocess.refusals import Reason, Refused

# Only these decoders ever see the bytes: no PostScript, no fonts, no vendor formats. A phone
# photo with a second picture in it (MPO) opens as JPEG.
FORMATS = ("JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF", "PPM")
MAX_BYTES = 64 << 20  # of the file
MAX_PIXELS = 64_000_000  # 192 MB as RGB; larger than any phone's ordinary picture
MAX_SIDE = 65_500  # pixels, what libjpeg can write

# Pillow warns of large pictures (our limit is stricter), garbage EXIF and the like. What matters
# becomes a refusal with the file's name beside it; the rest would only disturb the user. A filter
# for the whole process, because `warnings.catch_warnings` is not safe with threads.
warnings.filterwarnings("ignore", module=r"PIL\.")

_SIGNATURES = (b"\xff\xd8\xff", b"\x89PNG", b"GIF8", b"RIFF", b"II*\0", b"MM\0*")
_PNG_HEADER = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"
# A marker of a JPEG: not a stuffed zero, a fill byte or a restart, which belong to the pixels.
_JPEG_MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]", re.DOTALL)
_JPEG_SCAN, _JPEG_END = 0xDA, 0xD9
# Frame types that every decoder reads: baseline, extended and progressive Huffman.
_JPEG_PLAIN_FRAMES = (0xC0, 0xC1, 0xC2)
# What may stand after the first scan: tables, further scans, number of lines, comment, the end.
_JPEG_AFTER_SCAN = (0xC4, 0xDB, 0xDD, 0xDC, 0xFE, _JPEG_SCAN, _JPEG_END)
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
    scaling; palettes are resolved; transparency is laid over white.

    Args:
      data: the file's bytes, whatever they are.

    Raises:
      Refused: with EMPTY_FILE, TOO_LARGE, NOT_A_PICTURE, DAMAGED_PICTURE, ANIMATED (more than one
        frame or page) or UNSUPPORTED_CHANNELS (pixels without a known range, such as floats).
        Nothing else is raised.
    """
    if not data:
        raise Refused(Reason.EMPTY_FILE, "the file has zero bytes")
    if len(data) > MAX_BYTES:
        raise Refused(Reason.TOO_LARGE, f"{len(data)} bytes; at most {MAX_BYTES} are read")
    try:
        return _decode(data)
    except Refused:
        raise
    except UnidentifiedImageError:
        raise _unidentified(data) from None
    except Image.DecompressionBombError as error:
        raise Refused(Reason.TOO_LARGE, _describe(error)) from None
    # Bytes from anywhere make Pillow raise SyntaxError, struct.error, OSError, ValueError,
    # KeyError, OverflowError, MemoryError and more: each of them is this file's fault.
    except Exception as error:
        raise Refused(Reason.DAMAGED_PICTURE, _describe(error)) from None


def _decode(data: bytes) -> Decoded:
    with Image.open(io.BytesIO(data), formats=FORMATS) as picture:
        _check_size(*picture.size)
        frames = getattr(picture, "n_frames", 1)
        if frames > 1 and picture.format != "MPO":
            raise Refused(Reason.ANIMATED, f"{frames} frames or pages; one picture was expected")
        picture.load()
        orientation = _orientation(picture)
        encoding = {"JPEG": "jpeg", "PNG": "png"}.get(picture.format or "")
        check = {"jpeg": _check_jpeg, "png": _check_png}.get(encoding or "")
        verbatim = (
            check is not None
            and check(data)
            and orientation not in _UPRIGHT
            and picture.mode in ("L", "RGB")
            and not picture.has_transparency_data
        )
        flat = _to_grey_or_rgb(picture)
        if orientation in _UPRIGHT:
            flat = flat.transpose(_UPRIGHT[orientation])
        pixels = np.array(flat, np.uint8)
    return Decoded(pixels.reshape(*pixels.shape[:2], -1), encoding, verbatim)


def _check_size(width: int, height: int) -> None:
    if width * height > MAX_PIXELS or max(width, height) > MAX_SIDE:
        raise Refused(
            Reason.TOO_LARGE,
            f"{width}x{height} pixels; at most {MAX_PIXELS} and {MAX_SIDE} a side are decoded",
        )


def _orientation(picture: Image.Image) -> object:
    """The EXIF orientation, 1 (upright) where there is none that can be read.

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
        wide = np.asarray(picture).astype(np.float32)
        return Image.fromarray(np.rint(np.clip(wide / 257.0, 0, 255)).astype(np.uint8))
    if mode in ("I", "F", "LAB", "HSV"):
        raise Refused(
            Reason.UNSUPPORTED_CHANNELS,
            f"pixels of Pillow's mode {mode} have no known range; save as 8-bit grey or RGB",
        )
    if mode in ("1", "L", "RGB") and not picture.has_transparency_data:
        return picture.convert("L") if mode == "1" else picture
    if picture.has_transparency_data:
        grey = mode in ("1", "L", "LA", "La")
        above = picture.convert("RGBA")
        white = Image.new("RGBA", above.size, "white")
        return Image.alpha_composite(white, above).convert("L" if grey else "RGB")
    return picture.convert("RGB")


def _check_jpeg(data: bytes) -> bool:
    """Whether this is a kind of JPEG that every decoder reads.

    Refuses one with a stray marker: a damaged byte among the pixels may look like one. libjpeg
    ends the picture there and leaves the rest grey, TensorFlow refuses it.
    """
    markers = _jpeg_markers(data)
    behind = markers[markers.index(_JPEG_SCAN) :] if _JPEG_SCAN in markers else []
    stray = [marker for marker in behind if marker not in _JPEG_AFTER_SCAN]
    if stray:
        raise Refused(Reason.DAMAGED_PICTURE, f"marker 0x{stray[0]:02X} amid a JPEG's pixels")
    if _JPEG_END not in behind:
        raise Refused(Reason.DAMAGED_PICTURE, "a JPEG without its end")
    return any(marker in _JPEG_PLAIN_FRAMES for marker in markers)


def _jpeg_markers(data: bytes) -> list[int]:
    """The markers of a JPEG from behind its first to the first end of image."""
    markers: list[int] = []
    at = 2
    while match := _JPEG_MARKER.search(data, at):
        at = match.end()
        markers.append(data[at - 1])
        if markers[-1] == _JPEG_END:
            break
        at += int.from_bytes(data[at : at + 2], "big")
    return markers


def _check_png(data: bytes) -> bool:
    """Whether this is a PNG of 8-bit grey or RGB.

    Refuses wrong checksums of pixel data and a missing end, as TensorFlow does and Pillow not.
    """
    at = 8
    while at + 12 <= len(data):  # length, name, body, checksum
        end = at + 12 + int.from_bytes(data[at : at + 4], "big")
        name = data[at + 4 : at + 8]
        if zlib.crc32(data[at + 4 : end - 4]) != int.from_bytes(data[end - 4 : end], "big"):
            raise Refused(Reason.DAMAGED_PICTURE, f"wrong checksum of PNG chunk {name!r}")
        if name == b"IEND":
            depth, colour_type = data[24], data[25]
            return data.startswith(_PNG_HEADER) and depth == 8 and colour_type in (0, 2)
        at = end
    raise Refused(Reason.DAMAGED_PICTURE, "the PNG file ends before its last chunk")


def _unidentified(data: bytes) -> Refused:
    start = data[:1024].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if start.startswith((b"<!doctype html", b"<html", b"<head", b"<?xml", b"<svg", b"<error")):
        return Refused(Reason.NOT_A_PICTURE, "HTML or XML: a saved error page, or an SVG?")
    if data.startswith(_SIGNATURES):
        return Refused(Reason.DAMAGED_PICTURE, "it begins like a picture, but has no whole header")
    return Refused(
        Reason.NOT_A_PICTURE,
        f"begins with {data[:8].hex(' ')}, which is none of {', '.join(FORMATS)}",
    )


def _describe(error: Exception) -> str:
    """One line, whatever the error's text."""
    return " ".join(f"{type(error).__name__}: {error}".split())[:200]
