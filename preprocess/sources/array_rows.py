"""Reads pictures from NumPy arrays, `.npy` files and members of `.npz`.

Arrays are memory-mapped, except for compressed members, which can only be unpacked as a whole.
Pickles, which could run code, are never loaded.
"""

from __future__ import annotations

import errno
import functools
import zipfile
import zlib
from typing import Any
from urllib.parse import quote, unquote

import numpy as np
from numpy.typing import NDArray

from preprocess import storage
from preprocess.shell.errors import DataError
from preprocess.sources.places import Place

ARRAY = "array"  # detail: row, factor to 0..255, 1 if channels first else 0, quoted member
MAX_PACKED_BYTES = 4 << 30  # of a compressed member, which each worker keeps in memory
MAX_RATIO = 200  # unpacked to packed; scanned digits reach 5
MAX_UNCHECKED_BYTES = 256 << 20  # unpacked size up to which the ratio is not checked
_LOCAL_HEADER = 30  # bytes of a zip member's local header, before name and extra field


def array_names(path: str) -> list[str]:
    """Names of the arrays in a file: an .npz's members, or "" for an .npy. Raises DataError for
    other files.
    """
    if not path.lower().endswith(".npz"):
        return [""]
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (OSError, zipfile.BadZipFile, ValueError) as error:
        raise DataError(f"'{path}' is not an .npz file: {error}") from None
    return [name.removesuffix(".npy") for name in names if name.endswith(".npy")]


def load_array(path: str, name: str) -> NDArray[Any]:
    """An array of a file on a local disk; raises DataError if it cannot be read."""
    try:
        return _loaded(path, name, storage.stat(path))
    except (OSError, ValueError, EOFError, KeyError, MemoryError, OverflowError) as error:
        reason = "it holds Python objects" if "pickle" in str(error) else str(error)
    except (zipfile.BadZipFile, zlib.error, SyntaxError, TypeError) as error:
        reason = str(error)
    raise DataError(f"'{path}' {name}: the array cannot be read: {reason[:200]}")


@functools.lru_cache(maxsize=8)
def _loaded(path: str, name: str, version: storage.Info) -> NDArray[Any]:
    if not path.lower().endswith(".npz"):
        mapped: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
        return mapped
    with zipfile.ZipFile(path) as archive:
        info = archive.getinfo(f"{name}.npy")
        if info.compress_type == zipfile.ZIP_STORED:
            return _mapped(path, info.header_offset)
        if info.file_size > MAX_PACKED_BYTES:
            raise ValueError(
                f"{info.file_size >> 20} MB compressed; save it with np.save or np.savez, whose "
                "files are read without unpacking"
            )
        if info.file_size > max(MAX_RATIO * info.compress_size, MAX_UNCHECKED_BYTES):
            raise ValueError(f"it unpacks to more than {MAX_RATIO} times its size")
        with archive.open(info) as file:
            unpacked: NDArray[Any] = np.lib.format.read_array(file, allow_pickle=False)
            return unpacked


def _mapped(path: str, header_offset: int) -> NDArray[Any]:
    """A stored member, memory-mapped inside the archive."""
    with open(path, "rb") as file:
        file.seek(header_offset)
        header = file.read(_LOCAL_HEADER)
        file.seek(int.from_bytes(header[26:28], "little"), 1)
        file.seek(int.from_bytes(header[28:30], "little"), 1)
        version = np.lib.format.read_magic(file)
        read_header = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }[version]
        shape, fortran, dtype = read_header(file)
        if dtype.hasobject:
            raise ValueError("pickle")
        return np.memmap(path, dtype, "r", file.tell(), shape, order="F" if fortran else "C")


def place(path: str, name: str, row: int, shape: tuple[int, ...], scale: tuple[int, bool]) -> Place:
    """A row's Place. `scale` = (factor to 0..255, whether channels come first)."""
    size = int(np.prod(shape[1:], dtype=np.int64))
    return Place(ARRAY, size, f"{row},{scale[0]},{int(scale[1])},{quote(name, safe='')}", path)


def read_row(item: Place, limit: int | None) -> bytes:
    """A row as a PGM or PPM file, which every decoder reads; raises OSError if it is gone."""
    row, factor, channels_first, name = item.detail.split(",")
    try:
        picture = np.asarray(load_array(item.path, unquote(name))[int(row)])
    except (DataError, IndexError) as error:
        raise OSError(errno.EIO, str(error)) from None
    if channels_first == "1":
        picture = picture.transpose(1, 2, 0)
    scaled = picture.astype(np.float32) * int(factor) if factor != "1" else picture
    return as_netpbm(np.rint(scaled).astype(np.uint8))[:limit]


def as_netpbm(picture: NDArray[np.uint8]) -> bytes:
    """Pixels uint8[H, W], [H, W, 1] or [H, W, 3] as a PGM or PPM file."""
    height, width = picture.shape[:2]
    magic = b"P6" if picture.shape[2:] == (3,) else b"P5"
    return b"%s %d %d 255\n" % (magic, width, height) + picture.tobytes()
