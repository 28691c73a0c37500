"""Decodes pictures to pixels without TensorFlow, bit for bit as decoding.py does.

JPEGs are decoded by libjpeg-turbo's own interface, PNGs as the build decodes them. What TensorFlow
rejects is rejected, and so are damaged files that libjpeg and TensorFlow decode but a build would
not have stored.
"""

from __future__ import annotations

import numpy as np
import simplejpeg
from numpy.typing import NDArray

from preprocess.pictures import jpeg
from preprocess.pictures.container import check_size
from preprocess.pictures.decode import decode
from preprocess.pictures.refusal import Refused
from trainer.data.area_resize import stretch
from trainer.data.picture_record import BadRecordError, PictureRecord
from trainer.data.stored_form import StoredForm

Pixels = NDArray[np.uint8]
_COLOURS = {1: "GRAY", 3: "RGB"}
# In the frame header of a JPEG with four components: its length, and the bits of a sample.
_FOUR_COMPONENTS = b"\x00\x14\x08"
_ADOBE = 0xEE
# Weights of red, green and blue for a PNG's grey, of 32768: ITU-R 601, truncated as in libpng.
_PNG_GREY = np.array([9797, 19234, 3737])
# The same for raw pixels, as in tf.image.rgb_to_grayscale.
_RAW_GREY = np.array([0.2989, 0.5870, 0.1140], np.float32)


class PixelDecoder(StoredForm):
    """Converts parsed records to pixels of one shape."""

    def decode(self, record: PictureRecord, out: Pixels) -> None:
        """Decodes a record into uint8[H, W, C], contiguous, which is undefined after an error.

        Raises:
          BadRecordError: the record is damaged, or its pixels have another shape.
        """
        if self.image.encoding == "raw":  # then all records are
            pixels = _raw(record, self.channels)
        elif record.encoded.startswith(jpeg.SIGNATURE) and _has_ink(record.encoded):
            pixels = _cmyk(record.encoded, self.channels)
        elif record.encoded.startswith(jpeg.SIGNATURE):
            pixels = _jpeg(record.encoded, self.channels, None if self.side else out)
        else:
            pixels = _png(record.encoded, self.channels)
        if self.side:
            pixels = stretch(pixels, self.side)
        if pixels.shape != out.shape:
            raise BadRecordError(
                f"its pixels are {_sides(pixels)}, but the dataset's {_sides(out)}"
            )
        if not np.may_share_memory(pixels, out):
            out[:] = pixels


def _jpeg(data: bytes, channels: int, out: Pixels | None) -> Pixels:
    """The pixels, stored in `out` if given and if they fit."""
    pixels: Pixels
    try:
        if out is None:
            height, width, *_ = simplejpeg.decode_jpeg_header(data)
            check_size(width, height)  # before memory is allocated for them
        pixels = simplejpeg.decode_jpeg(data, _COLOURS[channels], buffer=out)
    except Refused as refused:
        raise BadRecordError(f"a picture beyond the limits: {refused}") from None
    except ValueError:  # damage, another size, or a warning that TensorFlow ignores
        _check(data)
        try:
            pixels = simplejpeg.decode_jpeg(data, _COLOURS[channels], strict=False)
        except ValueError as error:
            raise BadRecordError(f"a JPEG that cannot be decoded: {error}") from None
    return pixels


def _has_ink(data: bytes) -> bool:
    """Whether a JPEG has four colour components (for printing)."""
    if _FOUR_COMPONENTS not in data:
        return False
    try:
        return simplejpeg.decode_jpeg_header(data)[2] in ("CMYK", "YCCK")
    except ValueError:
        return False


def _cmyk(data: bytes, channels: int) -> Pixels:
    """RGB of CMYK by TensorFlow's rule: values are inverted in Adobe's files."""
    if channels == 1:
        raise BadRecordError("a CMYK picture cannot be converted to grey")
    try:
        check_size(*simplejpeg.decode_jpeg_header(data)[1::-1])
        inks = simplejpeg.decode_jpeg(data, "CMYK").astype(np.int32)
    except (Refused, ValueError) as error:
        raise BadRecordError(f"a CMYK picture that cannot be decoded: {error}") from None
    adobe = any(
        segment.marker == _ADOBE and data.startswith(b"Adobe", segment.body)
        for segment in jpeg.segments(data)
    )
    light = inks if adobe else 255 - inks
    return (light[..., 3:] * light[..., :3] // 255).astype(np.uint8)


def _png(data: bytes, channels: int) -> Pixels:
    pixels = _check(data)
    if pixels.shape[2] == channels:
        return pixels
    if channels == 3:
        return np.repeat(pixels, 3, axis=2)
    grey = (pixels @ _PNG_GREY) >> 15
    return grey.astype(np.uint8)[..., np.newaxis]


def _check(data: bytes) -> Pixels:
    """The pixels as the build sees them; BadRecordError if a build would not store the file."""
    try:
        decoded = decode(data)
    except Refused as refused:
        raise BadRecordError(f"a damaged picture: {refused}") from None
    if not decoded.verbatim:
        raise BadRecordError("a picture format that datasets do not contain")
    return decoded.image


def _raw(record: PictureRecord, channels: int) -> Pixels:
    shape = (record.height, record.width, record.channels)
    if len(record.encoded) != np.prod(shape) or record.channels not in (1, 3):
        raise BadRecordError(f"{len(record.encoded)} bytes do not match the pixel shape {shape}")
    pixels = np.frombuffer(record.encoded, np.uint8).reshape(shape)
    if record.channels == channels:
        return pixels
    if channels == 3:
        return np.repeat(pixels, 3, axis=2)
    red, green, blue = np.moveaxis(pixels.astype(np.float32) * np.float32(1 / 255), 2, 0)
    grey = red * _RAW_GREY[0] + green * _RAW_GREY[1] + blue * _RAW_GREY[2]
    return (grey * np.float32(255.5)).astype(np.uint8)[..., np.newaxis]


def _sides(pixels: Pixels) -> str:
    return "x".join(map(str, pixels.shape))
