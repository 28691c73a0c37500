"""A picture is judged by what carries pixels; the rest of a file costs it nothing.

What TensorFlow prints of each file was seen by giving it to `tf.io.decode_jpeg`; that it reads
what is stored is asserted by tests/trainer/data/test_stored_pictures.py.
"""

from __future__ import annotations

import io
import os
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from preprocess.pictures.decode import decode
from preprocess.pictures.refusal import PictureReason, Refused

PICTURE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 48, 3), np.uint8))


def saved(kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    PICTURE.save(file, kind, **options)
    return file.getvalue()


def chunk(name: bytes, body: bytes, crc: int | None = None) -> bytes:
    crc = zlib.crc32(name + body) if crc is None else crc
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", crc)


def segment(marker: int, body: bytes) -> bytes:
    return bytes([0xFF, marker]) + struct.pack(">H", len(body) + 2) + body


PNG = saved("PNG")
JPEG = saved("JPEG")
PROGRESSIVE = saved("JPEG", progressive=True)
LAST_SCAN = PROGRESSIVE.rfind(b"\xff\xda")
FRAME = JPEG.find(b"\xff\xc0")

KEPT_CHUNKS = {
    "a text": chunk(b"tEXt", b"Author\0me"),
    "a packed text": chunk(b"zTXt", b"Author\0\0" + zlib.compress(b"me")),
    "a private chunk": chunk(b"prVt", b"anything"),
    "gamma of sRGB": chunk(b"sRGB", b"\0") + chunk(b"gAMA", struct.pack(">I", 45_455)),
    "a resolution": chunk(b"pHYs", struct.pack(">IIB", 2835, 2835, 1)),
}
DROPPED_CHUNKS = {
    "a profile of 2 MB": chunk(b"iCCP", b"x\0\0" + zlib.compress(os.urandom(2_000_000))),
    "a profile that is none": chunk(b"iCCP", b"x\0\0" + zlib.compress(b"garbage" * 40)),
    "a text of 9 MB": chunk(b"tEXt", b"a\0" + b"b" * 9_000_000),
    "a text that grows a thousandfold": chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(20_000_000))),
    "a text with a wrong checksum": chunk(b"tEXt", b"a\0b", crc=1),
    "a profile with a wrong checksum": chunk(b"iCCP", b"a\0b", crc=1),
    "a thousand texts": chunk(b"tEXt", b"a\0b") * 1_500,
    "gamma unlike sRGB's": chunk(b"sRGB", b"\0") + chunk(b"gAMA", struct.pack(">I", 100_000)),
    "a time without its bytes": chunk(b"tIME", b"\0"),
    "camera data that is none": chunk(b"eXIf", b"junk"),
    "a chunk twice": chunk(b"pHYs", bytes(9)) * 2,
}


@pytest.mark.parametrize("name", [*KEPT_CHUNKS, *DROPPED_CHUNKS])
def test_a_png_has_its_pixels_whatever_stands_beside_them(name: str) -> None:
    extra = {**KEPT_CHUNKS, **DROPPED_CHUNKS}[name]
    decoded = decode(PNG[:33] + extra + PNG[33:])
    np.testing.assert_array_equal(decoded.image, np.asarray(PICTURE))
    assert decoded.verbatim is (name in KEPT_CHUNKS)


def test_pixels_of_a_png_around_another_chunk_are_whole_and_encoded_anew() -> None:
    """TensorFlow wants them side by side."""
    at = PNG.index(b"IDAT") + 4
    size = struct.unpack(">I", PNG[at - 8 : at - 4])[0]
    body = PNG[at : at + size]
    parts = [chunk(b"IDAT", body[:50]), chunk(b"tEXt", b"a\0b"), chunk(b"IDAT", body[50:])]
    decoded = decode(PNG[:33] + b"".join(parts) + chunk(b"IEND", b""))
    np.testing.assert_array_equal(decoded.image, np.asarray(PICTURE))
    assert not decoded.verbatim


@pytest.mark.parametrize("more", [b"more", zlib.compress(b"more")])
def test_a_png_with_more_than_its_pixels_is_encoded_anew(more: bytes) -> None:
    body = zlib.compress(b"".join(b"\0" + row.tobytes() for row in np.asarray(PICTURE)))
    data = PNG[:33] + chunk(b"IDAT", body + more) + chunk(b"IEND", b"")
    assert not decode(data).verbatim
    assert decode(PNG[:33] + chunk(b"IDAT", body) + chunk(b"IEND", b"")).verbatim


def test_an_interlaced_grey_png_is_kept() -> None:
    """Two filter rows by hand: Adam7 of 2x2 pixels has passes 1, 6 and 7 of 1, 1 and 2 pixels."""
    body = b"\0\x0a" + b"\0\x14" + b"\0\x1e\x28"
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 2, 2, 8, 0, 0, 0, 1))
    start = PNG[:8] + header
    decoded = decode(start + chunk(b"IDAT", zlib.compress(body)) + chunk(b"IEND", b""))
    assert decoded.image[:, :, 0].tolist() == [[10, 20], [30, 40]]
    assert decoded.verbatim
    longer = chunk(b"IDAT", zlib.compress(body + b"x"))
    assert not decode(start + longer + chunk(b"IEND", b"")).verbatim


@pytest.mark.parametrize("marker", [0xE0, 0xE1, 0xE2, 0xEE, 0xEF, 0xFE])
def test_a_segment_between_two_scans_of_a_jpeg_is_allowed(marker: int) -> None:
    data = PROGRESSIVE[:LAST_SCAN] + segment(marker, b"abcd") + PROGRESSIVE[LAST_SCAN:]
    decoded = decode(data)
    np.testing.assert_array_equal(decoded.image, decode(PROGRESSIVE).image)
    assert decoded.verbatim


@pytest.mark.parametrize(
    "data",
    [
        PROGRESSIVE[:LAST_SCAN] + b"junk" + PROGRESSIVE[LAST_SCAN:],
        JPEG[:FRAME] + b"junk" + JPEG[FRAME:],
        JPEG[:2] + segment(0xE0, b"JFIF\0\5\2\0\0\1\0\1\0\0") + JPEG[20:],
        JPEG[:2] + segment(0xE0, b"JFIF\0") + JPEG[20:],
        JPEG[:2] + segment(0xEE, b"Adobe\0d\0\0\0\0\2") + JPEG[20:],
        JPEG[:FRAME] + b"\xff\x01" + JPEG[FRAME:],
    ],
    ids=["junk amid", "junk before", "JFIF 5", "JFIF cut", "Adobe 2", "a marker alone"],
)
def test_a_jpeg_that_libjpeg_prints_a_line_of_is_encoded_anew(data: bytes) -> None:
    decoded = decode(data)
    assert decoded.image.shape == (40, 48, 3)
    assert not decoded.verbatim


def test_orientation_survives_where_a_segment_has_to_go() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = saved("JPEG", exif=exif.tobytes())
    broken = turned[:2] + segment(0xE0, b"JFIF\0") + turned[20:]
    assert decode(broken).image.shape == (48, 40, 3)


def test_a_gif_has_its_pixels_whatever_its_comments_are() -> None:
    """60,000 blocks of a byte each; Pillow alone would copy the comment once a block."""
    data = saved("GIF")
    header = 13 + (3 << ((data[10] & 7) + 1))
    comment = b"\x21\xfe" + b"\1x" * 60_000 + b"\0"
    decoded = decode(data[:header] + comment + b"\0" + data[header:])
    np.testing.assert_array_equal(decoded.image, decode(data).image)


def test_damage_of_what_carries_pixels_is_refused() -> None:
    for name in (b"PLTE", b"tRNS"):
        with pytest.raises(Refused) as caught:
            decode(PNG[:33] + chunk(name, bytes(3), crc=1) + PNG[33:])
        assert caught.value.reason == PictureReason.DAMAGED_PICTURE
