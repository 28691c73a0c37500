"""MNIST's idx files: `train-images-idx3-ubyte`, `train-labels-idx1-ubyte` and the same with
`t10k-`, plain or gzipped.

Format: two zero bytes, a byte of type (8 = unsigned), a byte of dimensions, each dimension
as a big-endian int32, then the values. Source: the description on the MNIST page.
"""

from __future__ import annotations

import functools
import gzip
import hashlib
import math
import os
import re
import struct
import zlib

import numpy as np
from numpy.typing import NDArray

from preprocess import storage
from preprocess.dataset_format import CLASSIFICATION
from preprocess.shell.errors import DataError
from preprocess.sources.folder import Folder, open_folder
from preprocess.sources.rows import Picture, Request, Source
from preprocess.sources.source_kind import Evidence, SourceKind
from preprocess.sources.splitting import TEST, TRAIN

FILES = ((TRAIN, "train"), (TEST, "t10k"))
_IS_IDX = re.compile(r"-images[-.]idx3-ubyte(\.gz)?$")
_GZIP = b"\x1f\x8b"
MAX_BYTES = 1 << 30  # of one unpacked file; MNIST's largest has 47 MB
MAX_RATIO = 200  # of unpacked to packed; MNIST's come to 5
MAX_UNCHECKED_BYTES = 64 << 20  # unpacked, below which no ratio is asked for


def read(request: Request) -> Source:
    """Reads the labels; a picture is a number in its file. Ids are `train-00042`."""
    root = open_folder(request.images, "--images", request.follow_links)
    source = Source(CLASSIFICATION, pictures=[], stat=root.stat)
    names: set[int] = set()
    for split, prefix in FILES:
        images = _find(root, f"{prefix}-images-idx3-ubyte")
        labels_path = _find(root, f"{prefix}-labels-idx1-ubyte")
        if images is None or labels_path is None:
            if split == TRAIN:
                raise DataError(f"no {prefix}-images-idx3-ubyte[.gz] and -labels- in '{root.root}'")
            source.warnings.append(f"no {prefix} files: the dataset has no split '{split}'")
            continue
        labels = load(labels_path, 1)
        pictures = load(images, 3)
        if len(labels) != len(pictures):
            raise DataError(f"'{images}' has {len(pictures)} pictures, but {len(labels)} labels")
        # Divided over the two splits, as a limit is divided over class folders.
        count = min(len(labels), -(-request.limit // len(FILES)) or len(labels))
        for number in range(count):
            image_id = f"{split}-{number:05d}"
            of = request.split(image_id, split)
            source.pictures.append(Picture(image_id, of, int(labels[number]), images, number, None))
        names.update(int(label) for label in labels)
        source.counted += count
        for path in (images, labels_path):
            source.tables[os.path.basename(path)] = _sha256(path)
    width = len(str(max(names)))  # so that alphabetical order is numerical order
    source.classes = [f"{number:0{width}d}" for number in range(max(names) + 1)]
    return source


@functools.lru_cache(maxsize=4)
def load(path: str, dimensions: int) -> NDArray[np.uint8]:
    """The array in an idx file; raises DataError for other files. Kept in memory, as a gzipped file
    can only be read from its start.
    """
    try:
        with storage.open_read(path) as file:
            # A browser may have unpacked it without renaming it, so look at the first bytes.
            packed = file.read(len(_GZIP)) == _GZIP
            file.seek(0)
            plain = gzip.GzipFile(fileobj=file) if packed else file
            header = plain.read(4 + 4 * dimensions)
            shape = _shape(path, header, dimensions)
            # Read no more than the header says, which must be plausible for the size of the file.
            size = math.prod(shape)
            if size > max(MAX_RATIO * storage.size(path), MAX_UNCHECKED_BYTES):
                raise DataError(
                    f"'{path}' has shape {shape} in its header, more than it can contain"
                )
            data = plain.read(size + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"cannot read '{path}': {error}") from None
    if len(data) != size:
        more = "more bytes" if len(data) > size else f"{len(data)} bytes"
        raise DataError(f"'{path}' has shape {shape} in its header, but {more} of data")
    return np.frombuffer(data, np.uint8).reshape(shape)


def _shape(path: str, header: bytes, dimensions: int) -> tuple[int, ...]:
    whole = len(header) == 4 + 4 * dimensions and header[:4] == bytes((0, 0, 8, dimensions))
    shape = struct.unpack(f">{dimensions}i", header[4:]) if whole else ()
    if not whole:
        raise DataError(f"'{path}' is not an idx file of bytes with {dimensions} dimensions")
    if min(shape) < 1 or math.prod(shape) > MAX_BYTES:
        raise DataError(f"'{path}' has shape {shape} in its header, which is not supported")
    return shape


def _find(root: Folder, name: str) -> str | None:
    there = set(root.files())
    for candidate in (name, f"{name}.gz", name.replace("-idx", ".idx")):
        if candidate in there:
            return os.path.join(root.root, candidate)
    return None


def _sha256(path: str) -> str:
    with storage.open_read(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _recognise(evidence: Evidence) -> str:
    found = next((name for name in sorted(evidence.files) if _IS_IDX.search(name)), "")
    return f"the idx file {found}" if found else ""


KIND = SourceKind(
    name="idx",
    layout="MNIST's four idx files, plain or gzipped (--images)",
    read=read,
    recognise=_recognise,
    variants=1,
    # JPEG would visibly damage handwritten digits of 28x28 pixels.
    encoding="png",
)
