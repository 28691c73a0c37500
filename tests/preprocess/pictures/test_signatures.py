"""Files that are called .jpg or .csv and are something else."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import struct
import zipfile

import numpy as np
import pytest
from PIL import Image

from preprocess.pictures.decode import decode
from preprocess.pictures.signatures import described
from preprocess.shell.errors import DataError
from preprocess.sources.dialect import recognise
from preprocess.sources.refusals import Refused

LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 12345\n"


def iso_media(brand, *compatible):
    body = brand + b"\0\0\0\0" + b"".join(compatible)
    return struct.pack(">I", 8 + len(body)) + b"ftyp" + body


def packed(how):
    data = io.BytesIO()
    if how == "zip":
        with zipfile.ZipFile(data, "w") as archive:
            archive.writestr(zipfile.ZipInfo("a"), "b")  # as old as a zip can be, at any time
    else:
        np.save(data, np.zeros(3))
    return data.getvalue()


# Bytes as programs write them, and what must be named.
FILES = [
    (LFS, "git lfs pull"),
    (b"/annex/objects/SHA256E-s5--0.jpg\n", "git annex get"),
    (iso_media(b"heic", b"mif1", b"heic"), "HEIC"),
    (iso_media(b"mif1", b"mif1", b"avif"), "AVIF"),
    (iso_media(b"avif"), "AVIF"),
    (iso_media(b"qt  "), "film"),
    (b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL"),
    (b"\xff\x0a\x00\x00", "JPEG XL"),
    (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG 2000"),
    (b"\xff\x4f\xff\x51\0\x2f", "JPEG 2000"),
    (gzip.compress(b"x", mtime=0), "gzip"),  # the time would be part of the test's name
    (bz2.compress(b"x"), "bzip2"),
    (lzma.compress(b"x"), "xz"),
    (packed("zip"), "zip"),
    (packed("npy"), "NumPy"),
    (b"8BPS\0\1", "Photoshop"),
    (b"<svg xmlns='x'>", "SVG"),
    (b"\xef\xbb\xbf\n<!DOCTYPE html>", "error page"),
    (bytes(2000), "zero bytes only"),
]


@pytest.mark.parametrize(("data", "name"), FILES, ids=lambda value: str(value)[:20])
def test_what_is_no_picture_and_no_table_is_called_what_it_is(data, name):
    with pytest.raises(Refused, match=name) as caught:
        decode(data)
    assert caught.value.reason == "not_a_picture"
    with pytest.raises(DataError, match=name):
        recognise(data, "t.csv")


@pytest.mark.parametrize(
    "start",
    [b"PAR1,PAR2\n", b"BZh,b\n", b"8BPS,b\n", b"path,label\n", b"L,b\n", b""],
)
def test_tables_are_not_taken_for_other_files(start):
    assert described(start) == ""


@pytest.mark.parametrize("format_", ["JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF", "PPM"])
def test_pictures_that_are_decoded_are_not_described(format_):
    data = io.BytesIO()
    Image.new("RGB", (8, 8)).save(data, format_)
    assert described(data.getvalue()) == ""
    assert decode(data.getvalue()).image.shape[:2] == (8, 8)


@pytest.mark.parametrize("order", ["<", ">"])
def test_a_tiff_of_many_bands_is_called_that(order):
    """Five bands of 16 bits, as satellites deliver: no RGB without a choice."""
    tags = [
        (256, 4, 1, 2),  # width, height, bits, compression, interpretation, strip, bands, rows
        (257, 4, 1, 2),
        (258, 3, 5, 150),
        (259, 3, 1, 1),
        (262, 3, 1, 1),
        (273, 4, 1, 160),
        (277, 3, 1, 5),
        (278, 4, 1, 2),
        (279, 4, 1, 40),
    ]
    data = {"<": b"II*\0", ">": b"MM\0*"}[order] + struct.pack(f"{order}IH", 8, len(tags))
    for tag, kind, count, value in tags:
        short = kind == 3 and count == 1
        data += struct.pack(f"{order}HHI", tag, kind, count)
        data += struct.pack(f"{order}HH", value, 0) if short else struct.pack(f"{order}I", value)
    data = data.ljust(150, b"\0") + struct.pack(f"{order}5H", *[16] * 5) + bytes(40)
    with pytest.raises(Refused, match="a TIFF of 5 bands of 16 bits") as caught:
        decode(data)
    assert caught.value.reason == "unsupported_channels"
    with pytest.raises(Refused) as caught:
        decode(data[:60])
    assert caught.value.reason == "damaged_picture"
