"""What a file is, told from its first bytes, where it is no picture or no table.

Names lie: a Git LFS pointer, a gzip or a phone's HEIC picture are called .jpg or .csv too.
"""

from __future__ import annotations

import struct

_LFS = "a Git LFS pointer; `git lfs pull` downloads the file itself"
_CONVERT = "which is not decoded; convert it to JPEG or PNG"
_HEIC = f"a HEIC picture, {_CONVERT}"
_JPEG_2000, _JPEG_XL = f"a JPEG 2000 picture, {_CONVERT}", f"a JPEG XL picture, {_CONVERT}"
# Kinds of which a reader may know more.
ZIP = "a zip archive, as .xlsx and .ods files are"
OLE = "an old Office file (.xls, .doc)"
PARQUET = "a parquet file"

# (where, bytes, what the file is); the first that fits. None is what a table may begin with.
_SIGNATURES = (
    (0, b"version https://git-lfs", _LFS),
    (0, b"/annex/objects/", "a git-annex pointer; `git annex get` downloads the file itself"),
    (0, b"\x1f\x8b", "gzip; unpack it first (gunzip)"),
    (0, b"PK\3\4", ZIP),
    (0, b"\xd0\xcf\x11\xe0", OLE),
    (0, b"PAR1\x15", PARQUET),
    (0, b"ARROW1\0\0", "an Arrow file"),
    (0, b"SQLite format 3\0", "an SQLite database"),
    (0, b"\x89HDF\r\n", "an HDF5 file"),
    (0, b"\x93NUMPY", "a NumPy array"),
    (0, b"MATLAB 5.0 MAT-file", "a MATLAB file"),
    (0, b"%PDF-", "a PDF document"),
    (4, b"1AY&SY", "bzip2; unpack it first (bunzip2)"),
    (0, b"\xfd7zXZ\0", "xz; unpack it first (unxz)"),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive"),
    (0, b"Rar!\x1a\x07", "a RAR archive"),
    (257, b"ustar", "a tar archive"),
    (0, b"\0\0\0\x0cJXL ", _JPEG_XL),
    (0, b"\xff\x0a", _JPEG_XL),
    (0, b"\0\0\0\x0cjP  ", _JPEG_2000),
    (0, b"\xff\x4f\xff\x51", _JPEG_2000),
    (0, b"8BPS\0", f"a Photoshop file, {_CONVERT}"),
    (0, b"gimp xcf", f"a GIMP file, {_CONVERT}"),
    (0, b"v/1\1", f"an OpenEXR picture, {_CONVERT}"),
    (0, b"#?RADIANCE", f"a Radiance HDR picture, {_CONVERT}"),
    (0, b"FUJIFILMCCD-RAW", f"a camera's raw file, {_CONVERT}"),
    (0, b"IIU\0", f"a camera's raw file, {_CONVERT}"),
    (8, b"CR\2", f"a camera's raw file, {_CONVERT}"),
    (0, b"\0\0\1\0", f"a Windows icon, {_CONVERT}"),
    (128, b"DICM", f"a DICOM picture, {_CONVERT}"),
    (0, b"SIMPLE  =", f"a FITS picture, {_CONVERT}"),
    (0, b"\0\5\x16\7", "what macOS keeps next to a file (AppleDouble)"),
    (0, b"bplist00", "a property list: a file that iCloud has not downloaded?"),
    (0, b"L\0\0\0\1\x14\2\0", "a Windows shortcut, not the file itself"),
)
_MARKUP = (b"<!doctype html", b"<html", b"<head", b"<?xml", b"<svg", b"<error")
# Brands of ISO media files, by what they hold.
_HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
_AVIF_BRANDS = (b"avif", b"avis")

HEAD_BYTES = 1024


def described(head: bytes) -> str:
    """What a file is that begins with `head`, to follow "it is"; "" if that is not known."""
    head = head[:HEAD_BYTES]
    if head[4:8] == b"ftyp":
        return _iso_media(head)
    for at, start, kind in _SIGNATURES:
        if head.startswith(start, at):
            return kind
    if head.lower().lstrip(b"\xef\xbb\xbf \t\r\n").startswith(_MARKUP):
        return "HTML or XML: a saved error page, or an SVG?"
    if head and not head.strip(b"\0"):
        return "zero bytes only: a download or copy that broke off?"
    return ""


def tiff_bands(data: bytes) -> str:
    """The pixels of a TIFF file ("5 bands of 16 bits"); "" if it has no whole header."""
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(data[:4])
    if order is None:
        return ""
    values = {}
    try:
        (at,) = struct.unpack_from(f"{order}I", data, 4)
        (entries,) = struct.unpack_from(f"{order}H", data, at)
        for entry in range(entries):
            start = at + 2 + 12 * entry
            tag, kind, count = struct.unpack_from(f"{order}HHI", data, start)
            if kind == 3:  # 16-bit numbers; more than two lie elsewhere
                (place,) = struct.unpack_from(f"{order}I", data, start + 8)
                (values[tag],) = struct.unpack_from(
                    f"{order}H", data, start + 8 if count <= 2 else place
                )
    except struct.error:
        return ""
    bands, bits = values.get(277, 1), values.get(258, 1)  # SamplesPerPixel, BitsPerSample
    return f"{bands} band{'s' * (bands != 1)} of {bits} bits"


def _iso_media(head: bytes) -> str:
    size = min(int.from_bytes(head[:4], "big"), len(head))
    brands = {head[at : at + 4] for at in (8, *range(16, size - 3, 4))}
    if brands & set(_AVIF_BRANDS):
        return f"an AVIF picture, {_CONVERT}"
    if brands & set(_HEIC_BRANDS):
        return _HEIC
    return "a film (MP4 or QuickTime)"
