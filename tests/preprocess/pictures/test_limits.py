"""A file costs its decoder bounded work and memory, whatever its writer made of it."""

from __future__ import annotations

import io
import struct
import time

import pytest
from PIL import Image

from preprocess.pictures import decode as decode_module
from preprocess.pictures import limits
from preprocess.pictures.decode import decode
from preprocess.pictures.refusal import PictureReason, Refused


def saved(picture: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def refusal(data: bytes) -> Refused:
    with pytest.raises(Refused) as caught:
        decode(data)
    assert caught.value.reason == PictureReason.TOO_LARGE
    return caught.value


def with_scans(side: int, more: int) -> bytes:
    """A grey progressive JPEG that repeats its last scan `more` times. The scan refines what is
    all zero, so it may come as often as one likes.
    """
    data = saved(Image.new("L", (side, side), 128), "JPEG", progressive=True)
    last = data.rfind(b"\xff\xda")
    return data[:-2] + data[last:-2] * more + data[-2:]


@pytest.mark.parametrize(
    ("side", "more", "taken"), [(16, 900, True), (16, 1_000, False), (8_000, 60, False)]
)
def test_scans_of_a_jpeg_are_limited_by_the_pixels_that_each_goes_over(side, more, taken):
    """Its own are 6; 8000 x 8000 pixels may be gone over 31 times."""
    data = with_scans(side, more)
    if taken:
        assert decode(data).image.shape == (side, side, 1)
    else:
        assert "scans" in refusal(data).detail


def test_the_largest_picture_may_have_the_scans_of_every_encoder():
    assert limits.most_scans(limits.MAX_PIXELS) >= 30
    assert limits.most_scans(0) == limits.MAX_SCANS


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF"])
def test_parts_of_a_file_are_limited(kind):
    data = saved(Image.new("RGB", (8, 8)), kind)
    if kind == "JPEG":
        data = data[:2] + b"\xff\xef\0\2" * limits.MAX_PARTS + data[2:]
    elif kind == "PNG":
        data = data[:33] + b"\0\0\0\0prVt\0\0\0\0" * limits.MAX_PARTS + data[33:]
    else:
        control = data.index(b"\x21\xf9") if b"\x21\xf9" in data else 13 + (3 << (data[10] & 7) + 1)
        data = (
            data[:control] + b"\x21\xf9" + b"\1\0" * (limits.MAX_PARTS + 1) + b"\0" + data[control:]
        )
    assert str(limits.MAX_PARTS) in refusal(data).detail


def test_a_webp_is_refused_by_its_header_before_its_decoder_takes_memory(monkeypatch):
    """16383 x 16383 pixels would be 2 GB as soon as it is opened."""
    monkeypatch.setattr("PIL.Image.open", None)  # nobody may call it
    for body in (
        b"VP8X\x0a\0\0\0" + b"\0" * 4 + (16_382).to_bytes(3, "little") * 2,
        b"VP8L\x0a\0\0\0\x2f" + (16_382 | 16_382 << 14).to_bytes(4, "little") + b"\0" * 5,
        b"VP8 \x0a\0\0\0\0\0\0\x9d\x01\x2a" + struct.pack("<HH", 16_383, 16_383),
    ):
        assert "16383x16383" in refusal(b"RIFF\x20\0\0\0WEBP" + body + bytes(20)).detail


@pytest.mark.parametrize("options", [{}, {"lossless": True}, {"exif": b"Exif\0\0"}])
def test_a_webp_of_every_kind_is_measured_as_its_decoder_does(monkeypatch, options):
    data = saved(Image.new("RGB", (37, 21), "red"), "WEBP", **options)
    seen = []
    monkeypatch.setattr(
        decode_module.webp, "check_size", lambda width, height: seen.append((width, height)) or 0
    )
    monkeypatch.setattr(
        decode_module, "_CONTAINERS", {decode_module.webp.SIGNATURE: decode_module.webp.inspect}
    )
    assert decode(data).image.shape == (21, 37, 3)
    assert seen == [(37, 21)]


def test_tags_that_all_point_to_one_large_place_are_refused():
    """2,000 tags of 1 MB each in a file of 1 MB: 2 GB, if each were read."""
    size = 1 << 20
    tags = [(256, 3, 1, 8), (257, 3, 1, 8), *((40_000 + i, 7, size, 8) for i in range(2_000))]
    entries = b"".join(struct.pack("<HHII", *tag) for tag in tags)
    start = 8 + size
    data = b"II*\0" + struct.pack("<I", start) + bytes(size)
    data += struct.pack("<H", len(tags)) + entries + bytes(4)
    assert "overlap" in refusal(data).detail


def test_pages_are_not_counted_to_see_that_there_are_several():
    """A TIFF with 20,000 pages in a chain: only the second is looked for."""
    first = saved(Image.new("L", (4, 4)), "TIFF")
    (start,) = struct.unpack("<I", first[4:8])
    (count,) = struct.unpack("<H", first[start : start + 2])
    entries = first[start + 2 : start + 2 + 12 * count]
    page = struct.pack("<H", count) + entries
    data, at = bytearray(first[:start]), start
    for number in range(20_000):
        following = at + len(page) + 4 if number < 19_999 else 0
        data += page + struct.pack("<I", following)
        at = following
    began = time.process_time()
    with pytest.raises(Refused) as caught:
        decode(bytes(data))
    assert caught.value.reason == PictureReason.ANIMATED
    assert time.process_time() - began < 1  # all of them: 10 s of processor time


def test_large_pictures_are_decoded_one_after_another(monkeypatch):
    held = []
    monkeypatch.setattr(decode_module, "LARGE_PIXELS", 64)
    monkeypatch.setattr(
        decode_module, "_upright", lambda *_: held.append(decode_module._large_picture._is_owned())
    )
    for side in (7, 8):
        decode(saved(Image.new("RGB", (side, side)), "BMP"))
    assert held == [False, True]


def test_no_other_program_is_asked_to_decode(monkeypatch):
    """PostScript, which Pillow hands to Ghostscript, is no picture here."""
    monkeypatch.setattr("subprocess.Popen", None)
    data = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n"
    with pytest.raises(Refused) as caught:
        decode(data)
    assert caught.value.reason == PictureReason.NOT_A_PICTURE
