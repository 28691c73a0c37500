"""Every kind of file a folder of pictures may hold, made here with Pillow."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from preprocess.pictures import decode as decode_module
from preprocess.pictures.decode import Decoded, decode
from preprocess.pictures.refusal import PictureReason as Reason
from preprocess.pictures.refusal import Refused

# Pillow's talk about damaged headers; decode's own filter holds outside of pytest only.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:PIL")

RED, GREEN, BLUE, YELLOW = (220, 30, 30), (30, 200, 30), (30, 30, 220), (220, 220, 30)
JPEG_SLACK = 12  # grey levels that JPEG may change in a flat block of 16x16
REASONS = {value for name, value in vars(Reason).items() if name.isupper()}


def quarters(width: int = 48, height: int = 32) -> Image.Image:
    """Red, green / blue, yellow: tells every mirroring, turn and channel swap apart."""
    picture = Image.new("RGB", (width, height), RED)
    picture.paste(GREEN, (width // 2, 0, width, height // 2))
    picture.paste(BLUE, (0, height // 2, width // 2, height))
    picture.paste(YELLOW, (width // 2, height // 2, width, height))
    return picture


def saved(picture: Image.Image, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def corners(image: np.ndarray) -> np.ndarray:
    """int[4, C]: the pixels a few steps in from each corner, row by row."""
    return np.array([image[4, 4], image[4, -5], image[-5, 4], image[-5, -5]], int)


def refusal(data: bytes) -> Refused:
    with pytest.raises(Refused) as caught:
        decode(data)
    return caught.value


def assert_quarters(decoded: Decoded, slack: int = JPEG_SLACK) -> None:
    assert decoded.image.shape == (32, 48, 3)
    assert decoded.image.dtype == np.uint8
    np.testing.assert_allclose(
        corners(decoded.image), [RED, GREEN, BLUE, YELLOW], atol=slack, rtol=0
    )


@pytest.mark.parametrize(
    ("kind", "encoding", "options"),
    [
        ("JPEG", "jpeg", {"quality": 95}),
        ("JPEG", "jpeg", {"quality": 95, "progressive": True}),
        ("PNG", "png", {}),
        ("BMP", None, {}),
        ("PPM", None, {}),
        ("TIFF", None, {}),
        ("WEBP", None, {"lossless": True}),
    ],
)
def test_every_format_gives_rgb_and_only_jpeg_and_png_may_be_kept(
    kind: str, encoding: str | None, options: dict[str, Any]
) -> None:
    decoded = decode(saved(quarters(), kind, **options))
    assert_quarters(decoded, JPEG_SLACK if kind == "JPEG" else 0)
    assert (decoded.encoding, decoded.verbatim) == (encoding, encoding is not None)


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_grey_stays_grey_and_is_kept(kind: str) -> None:
    decoded = decode(saved(Image.new("L", (20, 10), 77), kind))
    assert decoded.image.shape == (10, 20, 1)
    assert abs(int(decoded.image[5, 5, 0]) - 77) <= 1
    assert decoded.verbatim


def test_one_bit_becomes_black_and_white() -> None:
    picture = Image.new("1", (8, 8), 0)
    picture.putpixel((3, 5), 1)
    decoded = decode(saved(picture, "PNG"))
    assert decoded.image.shape == (8, 8, 1)
    assert decoded.image[5, 3, 0] == 255
    assert decoded.image.sum() == 255
    assert not decoded.verbatim


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_exif_orientation_is_undone(kind: str, orientation: int) -> None:
    """The file holds what the camera saw: the upright picture under the inverse of the tag's
    operation. 6 says "turn 90 degrees clockwise to show", so such a file holds it turned
    counter-clockwise; 5 and 7 are mirrorings and their own inverses.
    """
    inverse = {
        1: lambda p: p,
        2: lambda p: p.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
        3: lambda p: p.transpose(Image.Transpose.ROTATE_180),
        4: lambda p: p.transpose(Image.Transpose.FLIP_TOP_BOTTOM),
        5: lambda p: p.transpose(Image.Transpose.TRANSPOSE),
        6: lambda p: p.transpose(Image.Transpose.ROTATE_90),
        7: lambda p: p.transpose(Image.Transpose.TRANSVERSE),
        8: lambda p: p.transpose(Image.Transpose.ROTATE_270),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    decoded = decode(saved(inverse(quarters()), kind, exif=exif.tobytes(), quality=95))
    assert_quarters(decoded, 30 if kind == "WEBP" else JPEG_SLACK)
    assert decoded.verbatim == (orientation == 1 and kind in ("JPEG", "PNG"))


@pytest.mark.parametrize("value", [0, 9, 65535])
def test_senseless_orientation_is_taken_as_upright(value: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = value
    decoded = decode(saved(quarters(), "JPEG", exif=exif.tobytes(), quality=95))
    assert_quarters(decoded)
    assert decoded.verbatim


def test_garbage_exif_does_not_lose_the_picture() -> None:
    garbage = b"Exif\0\0MM\0*\xff\xff\xff\xff" + b"\xee" * 40
    assert_quarters(decode(saved(quarters(), "JPEG", exif=garbage, quality=95)))


def test_cmyk_becomes_rgb_and_is_not_inverted() -> None:
    """Pillow, like Photoshop, writes CMYK inverted with an Adobe marker. RED in CMYK is
    255 - RED with no black, so the way back gives RED.
    """
    data = saved(quarters().convert("CMYK"), "JPEG", quality=95)
    assert b"Adobe" in data
    decoded = decode(data)
    assert_quarters(decoded, 20)
    assert not decoded.verbatim


def test_sixteen_bit_grey_is_scaled() -> None:
    """Division by 257 takes 0..65535 to 0..255, 257 * 100 = 25700 to 100; a clip would give 255."""
    wide = np.array([[0, 257, 25_700, 65_535]], np.uint16)
    for kind in ("PNG", "TIFF", "PPM"):
        decoded = decode(saved(Image.fromarray(wide), kind))
        assert decoded.image[:, :, 0].tolist() == [[0, 1, 100, 255]]
        assert not decoded.verbatim


def test_sixteen_bit_rgb_is_scaled() -> None:
    """A 16-bit RGB PNG written by hand, as Pillow writes none: one pixel of 0x0000, 0x8080,
    0xFFFF is 0, 128, 255.
    """
    decoded = decode(png(1, 1, 16, 2, b"\0" + bytes.fromhex("00008080ffff")))
    assert decoded.image.tolist() == [[[0, 128, 255]]]
    assert not decoded.verbatim


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF"])
def test_transparency_is_laid_over_white(kind: str) -> None:
    """Half-transparent (100, 0, 200) over white: 255 + (c - 255) * 128 / 255."""
    picture = Image.new("RGBA", (32, 32), (100, 0, 200, 128))
    picture.paste((1, 2, 3, 0), (0, 0, 16, 32))
    decoded = decode(saved(picture, kind, lossless=True))
    assert decoded.image[16, 4].tolist() == [255, 255, 255]
    np.testing.assert_allclose(decoded.image[16, 24].astype(int), [177, 127, 227], atol=1)
    assert not decoded.verbatim


def test_grey_with_alpha_stays_grey() -> None:
    picture = Image.new("LA", (4, 4), (10, 0))
    picture.putpixel((0, 0), (10, 255))
    decoded = decode(saved(picture, "PNG"))
    assert decoded.image.shape == (4, 4, 1)
    assert decoded.image[0, 0, 0] == 10
    assert (decoded.image[1:] == 255).all()


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF", "BMP"])
def test_an_alpha_that_is_zero_everywhere_is_left_out(kind: str) -> None:
    """As a 32-bit BMP of Windows tools, whose fourth byte nobody fills in."""
    picture = quarters().convert("RGBA")
    picture.putalpha(0)
    if kind == "BMP":
        data = bmp_with_alpha(picture)
    else:
        data = saved(picture, kind, **({"lossless": True, "exact": True} if kind == "WEBP" else {}))
    assert_quarters(decode(data), 0)


def test_a_large_transparent_picture_is_laid_over_white_band_by_band(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Bands of 2 rows (and a last one of 1) give what one band gives."""
    noise = np.random.default_rng(0).integers(0, 256, (15, 10, 4), np.uint8)
    noise[:4, :, 3] = 0  # the first bands alone say nothing of the alpha
    data = saved(Image.fromarray(noise), "PNG")
    whole = decode(data).image
    monkeypatch.setattr(decode_module, "_BAND_PIXELS", 25)
    np.testing.assert_array_equal(decode(data).image, whole)
    assert (whole[:4] == 255).all()


@pytest.mark.parametrize("kind", ["PNG", "GIF", "BMP", "TIFF"])
def test_palette_is_resolved(kind: str) -> None:
    decoded = decode(saved(quarters().quantize(8), kind))
    assert_quarters(decoded, 4)
    assert not decoded.verbatim


def test_transparent_palette_entry_becomes_white() -> None:
    picture = Image.new("P", (4, 4), 1)
    picture.putpalette([0, 0, 0, 9, 99, 199])
    picture.putpixel((3, 3), 0)
    for kind in ("PNG", "GIF"):
        image = decode(saved(picture, kind, transparency=1)).image
        assert (image[:3] == 255).all()
        assert image[3, 3].tolist() == [0, 0, 0]
    assert decode(saved(picture, "PNG")).image[0, 0].tolist() == [9, 99, 199]


def test_transparent_colour_keeps_a_png_from_being_kept() -> None:
    decoded = decode(saved(quarters(), "PNG", transparency=RED))
    assert decoded.image[4, 4].tolist() == [255, 255, 255]
    assert not decoded.verbatim


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF"])
def test_animations_and_several_pages_are_refused(kind: str) -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in (RED, GREEN)]
    data = saved(frames[0], kind, save_all=True, append_images=frames[1:])
    assert refusal(data).reason == Reason.ANIMATED


def test_phone_photo_with_a_second_picture_gives_the_first() -> None:
    data = saved(quarters(), "MPO", save_all=True, append_images=[Image.new("RGB", (8, 8))])
    decoded = decode(data)
    assert_quarters(decoded, 40)
    assert not decoded.verbatim


def test_floats_have_no_range_and_are_refused() -> None:
    data = saved(Image.fromarray(np.ones((4, 4), np.float32)), "TIFF")
    assert refusal(data).reason == Reason.UNSUPPORTED_CHANNELS


def test_thirty_two_bit_integers_are_refused() -> None:
    data = saved(Image.fromarray(np.ones((4, 4), np.int32)), "TIFF")
    assert refusal(data).reason == Reason.UNSUPPORTED_CHANNELS


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF", "PPM"])
@pytest.mark.parametrize("kept", [0.3, 0.6, 0.9])
def test_truncated_files_are_refused(kind: str, kept: float) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    data = saved(Image.fromarray(noise), kind)
    assert refusal(data[: int(len(data) * kept)]).reason == Reason.DAMAGED_PICTURE


def test_png_with_a_wrong_checksum_is_refused() -> None:
    data = bytearray(saved(quarters(), "PNG"))
    at = data.index(b"IDAT") + 4 + struct.unpack(">I", data[data.index(b"IDAT") - 4 :][:4])[0]
    data[at] ^= 1
    assert refusal(bytes(data)).reason == Reason.DAMAGED_PICTURE


def test_png_without_its_end_is_refused() -> None:
    data = saved(quarters(), "PNG")
    assert_quarters(decode(data), 0)
    for cut in range(1, 13):  # the last chunk has 12 bytes
        assert refusal(data[:-cut]).reason == Reason.DAMAGED_PICTURE


def test_stray_marker_among_the_pixels_of_a_jpeg_is_refused() -> None:
    """In entropy-coded data 0xFF is followed by a stuffed zero; 0xE4 there would be a segment."""
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    data = bytearray(saved(Image.fromarray(noise), "JPEG", quality=95))
    at = data.index(b"\xff\0", len(data) // 2)
    data[at + 1] = 0xE4
    assert refusal(bytes(data)).reason == Reason.DAMAGED_PICTURE


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", Reason.EMPTY_FILE),
        (b"<!DOCTYPE html><html><body>404</body></html>", Reason.NOT_A_PICTURE),
        (b"\xef\xbb\xbf\n <HTML>", Reason.NOT_A_PICTURE),
        (b"%PDF-1.7 and more", Reason.NOT_A_PICTURE),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 1 1\n", Reason.NOT_A_PICTURE),
        (b"\0" * 1000, Reason.NOT_A_PICTURE),
        (b"\xff\xd8\xff", Reason.DAMAGED_PICTURE),
        (b"\x89PNG\r\n\x1a\n", Reason.DAMAGED_PICTURE),
        (b"RIFF\x10\0\0\0WEBP", Reason.DAMAGED_PICTURE),
    ],
)
def test_what_is_no_picture_is_told_from_what_is_damaged(data: bytes, reason: str) -> None:
    assert refusal(data).reason == reason


def test_html_is_named_as_such() -> None:
    assert "HTML" in refusal(b"<html>Not found</html>").detail


@pytest.mark.parametrize("size", [(40_000, 40_000), (8_001, 8_000), (65_501, 1)])
def test_decompression_bomb_is_refused_from_its_header(size: tuple[int, int]) -> None:
    """The pixel data is a few bytes that could not be decoded: the answer TOO_LARGE instead of
    DAMAGED_PICTURE shows that nobody tried.
    """
    assert refusal(png(*size, 8, 2, b"no pixels")).reason == Reason.TOO_LARGE


def test_file_beyond_the_byte_limit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    data = saved(quarters(), "PNG")
    monkeypatch.setattr(decode_module, "MAX_BYTES", len(data))
    assert_quarters(decode(data), 0)
    monkeypatch.setattr(decode_module, "MAX_BYTES", len(data) - 1)
    assert refusal(data).reason == Reason.TOO_LARGE


@pytest.mark.parametrize(("space", "kept"), [("sRGB", True), ("LAB", False)])
def test_colour_profile_changes_no_pixel(space: str, kept: bool) -> None:
    """Of a profile that is not RGB, libpng, and so TensorFlow, prints a line."""
    from PIL import ImageCms

    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile(space)).tobytes()
    with_profile = decode(saved(quarters(), "PNG", icc_profile=profile))
    assert_quarters(with_profile, 0)
    assert with_profile.verbatim is kept


def test_memory_running_out_is_the_pictures_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise MemoryError

    data = saved(quarters(), "PNG")
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", fail)
    assert "MemoryError" in refusal(data).detail


SEEDS = [
    saved(quarters(), kind, **options)
    for kind, options in (
        ("JPEG", {}),
        ("JPEG", {"progressive": True, "exif": b"Exif\0\0MM\0*\0\0\0\x08\0\0\0\0\0\0"}),
        ("PNG", {}),
        ("GIF", {}),
        ("BMP", {}),
        ("WEBP", {}),
        ("TIFF", {"compression": "tiff_lzw"}),
        ("PPM", {}),
        ("MPO", {"save_all": True, "append_images": [Image.new("RGB", (8, 8))]}),
    )
]


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A real file with some bytes changed, most of them in its header, and perhaps cut."""
    data = bytearray(draw(st.sampled_from(SEEDS)))
    for _ in range(draw(st.integers(0, 6))):
        limit = draw(st.sampled_from([40, 200, len(data)]))
        at = draw(st.integers(0, min(limit, len(data)) - 1))
        data[at] = draw(st.sampled_from([0, 1, 0x7F, 0x80, 0xFF]) | st.integers(0, 255))
    return bytes(data[: draw(st.just(len(data)) | st.integers(0, len(data)))])


@settings(max_examples=400)
@given(mutated() | st.binary(max_size=200))
def test_any_bytes_give_a_picture_or_a_refusal_and_nothing_else(data: bytes) -> None:
    try:
        decoded: Decoded | Refused = decode(data)
    except Refused as refused:
        decoded = refused
    if isinstance(decoded, Refused):
        assert decoded.reason in REASONS
        assert "\n" not in decoded.detail
    else:
        assert decoded.image.dtype == np.uint8
        assert decoded.image.ndim == 3
        assert decoded.image.shape[2] in (1, 3)
        assert not decoded.verbatim or decoded.encoding in ("jpeg", "png")


def png(width: int, height: int, depth: int, colour_type: int, rows: bytes) -> bytes:
    """A PNG file by hand: `rows` are the filtered rows."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        )

    header = struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


def bmp_with_alpha(picture: Image.Image) -> bytes:
    """A BMP with a version 4 header, whose masks name an alpha channel; Pillow writes none."""
    pixels = picture.transpose(Image.Transpose.FLIP_TOP_BOTTOM).tobytes("raw", "BGRA")
    header = struct.pack(
        "<IiiHHIIiiII", 108, *picture.size, 1, 32, 3, len(pixels), 2835, 2835, 0, 0
    )
    masks = struct.pack("<IIII", 0xFF0000, 0xFF00, 0xFF, 0xFF000000)
    body = header + masks + b"BGRs" + b"\0" * 48
    start = 14 + len(body)
    return b"BM" + struct.pack("<IHHI", start + len(pixels), 0, 0, start) + body + pixels
