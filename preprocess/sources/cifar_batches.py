"""Reads CIFAR's files, in the binary and the Python version.

A picture is 3,072 bytes, 32x32 in planes of red, green and blue. Binary records begin with one
label byte (CIFAR-10) or two (CIFAR-100: coarse, fine). The Python version is a pickle, and
unpickling can run code: here it only creates dicts, lists, text, numbers and plain NumPy arrays.
Source: the description on the CIFAR page.
"""

from __future__ import annotations

import functools
import io
import pickle
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from preprocess.sources.array_rows import as_netpbm
from preprocess.sources.places import Place

CIFAR = "cifar"  # detail: row
SIDE = 32
PICTURE_BYTES = 3 * SIDE * SIDE
MAX_BYTES = 1 << 30  # of a file; CIFAR-100's largest has 155 MB

_ALLOWED = {
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "_reconstruct"),
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
}


class Batch(NamedTuple):
    """The pictures of a file."""

    pixels: NDArray[np.uint8]  # [N, 3072]
    labels: dict[str, list[int]]  # by kind: labels, or fine_labels and coarse_labels
    names: list[str]  # of the pictures' files; [] if unknown


class _PlainUnpickler(pickle._Unpickler):
    # Python's own and not C's, which takes 68 GB where nine bytes give an object the number 2^32-1.
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("_codecs", "encode"):  # how Python 3 pickles bytes for Python 2
            return _as_bytes
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"it would call {module}.{name}, which is not allowed")
        return super().find_class(module, name)


def _as_bytes(text: str, encoding: str) -> bytes:
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"bytes encoded as {encoding!a}")
    return text.encode("latin-1")


def unpickle(data: bytes) -> Any:
    """The plain objects of a pickle, text as bytes; raises ValueError for any other."""
    try:
        return _PlainUnpickler(io.BytesIO(data), encoding="bytes").load()
    except Exception as error:  # a damaged pickle may raise almost anything
        raise ValueError(f"not a pickle of plain data: {error}") from None


def parse_batch(name: str, data: bytes) -> Batch:
    """A file's pictures and labels, by its name and content; raises ValueError."""
    return _binary(name, data) if name.endswith(".bin") else _pickled(data)


def _binary(name: str, data: bytes) -> Batch:
    fine = not name.startswith(("data_batch", "test_batch"))
    length = PICTURE_BYTES + 1 + fine
    if not data or len(data) % length:
        raise ValueError(f"{len(data)} bytes are not a multiple of the record length {length}")
    records = np.frombuffer(data, np.uint8).reshape(-1, length)
    kinds = ("coarse_labels", "fine_labels") if fine else ("labels",)
    labels = {kind: records[:, n].tolist() for n, kind in enumerate(kinds)}
    return Batch(records[:, len(kinds) :], labels, [])


def _pickled(data: bytes) -> Batch:
    content = unpickle(data)
    if not isinstance(content, dict) or not isinstance(content.get(b"data"), np.ndarray):
        raise ValueError("a pickle without CIFAR's data")
    pixels = content[b"data"]
    if pixels.dtype != np.uint8 or pixels.ndim != 2 or pixels.shape[1] != PICTURE_BYTES:
        raise ValueError(f"pictures have an unexpected type: {pixels.dtype}{list(pixels.shape)}")
    kinds = [k for k in (b"labels", b"coarse_labels", b"fine_labels") if k in content]
    labels = {kind.decode(): _whole_numbers(content[kind]) for kind in kinds}
    given = content.get(b"filenames")
    if not isinstance(given, list) or not all(isinstance(name, bytes) for name in given):
        given = []
    names = [name.decode("utf-8", "replace") for name in given]
    if any(len(column) != len(pixels) for column in labels.values()):
        raise ValueError("the numbers of labels and pictures differ")
    return Batch(pixels, labels, names if len(names) == len(pixels) else [])


def _whole_numbers(values: object) -> list[int]:
    if isinstance(values, np.ndarray):
        values = values.tolist()
    if not isinstance(values, list) or not all(type(value) is int for value in values):
        raise ValueError("labels that are no list of integers")
    if values and not -(2**63) <= min(values) <= max(values) < 2**63:
        raise ValueError("labels of more than 64 bits")
    return values


def read_row(read: Callable[[str, int | None], bytes], item: Place, limit: int | None) -> bytes:
    """A picture as a PPM file. `read` returns the content of the file, which may be in an archive;
    raises OSError if it is gone or damaged.
    """
    row, name = item.detail.split(",")
    try:
        planes = _opened(read, item.path, name)[int(row)].reshape(3, SIDE, SIDE)
    except (ValueError, IndexError) as error:
        raise OSError(5, str(error)) from None
    return as_netpbm(np.ascontiguousarray(planes.transpose(1, 2, 0)))[:limit]


@functools.lru_cache(maxsize=8)  # CIFAR-10 has six files
def _opened(read: Callable[[str, int | None], bytes], path: str, name: str) -> NDArray[np.uint8]:
    return parse_batch(name, read(path, MAX_BYTES)).pixels
