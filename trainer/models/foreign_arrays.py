"""Arrays in files of strangers: no more memory than the file itself backs, and no other file.

A few bytes may claim an array of terabytes: one that was never filled in, one that shrank a
thousandfold when it was packed. An HDF5 file may also name other files of the reader's to take its
numbers from, and be a ring of groups. All of this is seen before a number is read.
"""

from __future__ import annotations

import math
import os
import zipfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

# What an array may take of memory: weights hardly shrink, but what an optimizer has not touched.
MAX_GROWTH = 20
MAX_SMALL_BYTES = 64 << 20  # whatever the size of the file


def load_npz(path: Path | str) -> dict[str, NDArray[Any]]:
    """The arrays of an .npz file.

    Raises:
      ValueError: an array is of Python objects, larger than the file backs, or encrypted.
      OSError, KeyError, EOFError, zipfile.BadZipFile, zlib.error: it is damaged, or none.
    """
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
        _check_total(sum(entry.file_size for entry in entries), os.path.getsize(path))
        try:
            for entry in entries:
                _check_entry(archive, entry)
        except (NotImplementedError, RuntimeError) as error:  # of zipfile's
            raise ValueError(str(error)) from None
    with np.load(path, allow_pickle=False) as values:
        return dict(values)


def _check_entry(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> None:
    with archive.open(entry) as file:
        version = np.lib.format.read_magic(file)
        if version == (1, 0):
            shape, _, dtype = np.lib.format.read_array_header_1_0(file)
        else:
            shape, _, dtype = np.lib.format.read_array_header_2_0(file)
    if not dtype.hasobject and math.prod(shape) * dtype.itemsize > entry.file_size:
        raise ValueError(f"{entry.filename} has not the {shape} numbers that it claims")


def check_hdf5(file: h5py.File, size: int) -> None:
    """Raises ValueError if an HDF5 file of that many bytes claims more numbers than it backs, or
    takes them from other files.
    """
    total = 0

    def look(name: str, item: object) -> None:
        nonlocal total
        if isinstance(item, h5py.Group):
            for child in item:
                _check_link(item.get(child, getlink=True), f"{name}/{child}")
        elif isinstance(item, h5py.Dataset):
            if item.external or item.is_virtual:
                raise ValueError(f"the numbers of '{name}' are in another file")
            total += math.prod(item.shape or ()) * item.dtype.itemsize

    look("", file)
    file.visititems(look)  # each object once, whatever links lead to it
    _check_total(total, size)


def _check_link(link: object, name: str) -> None:
    if isinstance(link, h5py.ExternalLink):
        raise ValueError(f"'{name}' is a link to another file")
    if isinstance(link, h5py.SoftLink):
        raise ValueError(f"'{name}' is a link, which Keras writes none of")


def _check_total(claimed: int, size: int) -> None:
    if claimed > MAX_GROWTH * size + MAX_SMALL_BYTES:
        raise ValueError(f"{size} bytes that claim to hold {claimed} bytes of numbers")
