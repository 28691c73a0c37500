"""NumPy arrays of pictures and labels: .npz files, or .npy files next to each other.

Arrays are paired by their names: x_train and y_train, train_images and train_labels, or images and
labels in a file that is named after the split.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from preprocess import storage
from preprocess.shell.errors import DataError, UsageError
from preprocess.sources.array_rows import array_names, load_array, place
from preprocess.sources.container_files import ContainerFile, find_files, split_in_name
from preprocess.sources.labelled_items import Item, Label, labelled_source
from preprocess.sources.rows import Request, Source
from preprocess.sources.source_kind import Evidence, SourceKind

SUFFIXES = (".npz", ".npy")
_IMAGES = frozenset("x images image imgs img data pixels pictures arr_0".split())
_LABELS = frozenset("y labels label targets target classes arr_1".split())
_CHUNK = 64 << 20  # bytes that are scanned together for the range of values
_SMALLEST_SIDE = 5  # of a picture; a shorter axis is one of channels


class _Array(NamedTuple):
    """An array by name, and its file."""

    file: ContainerFile
    member: str  # of an .npz; "" = the .npy itself

    @property
    def name(self) -> str:
        """Its name in messages."""
        return self.member or self.file.stem

    @property
    def values(self) -> NDArray[Any]:
        """The array, memory-mapped."""
        return load_array(self.file.path, self.member)


def read(request: Request) -> Source:
    """Pairs the arrays and reads the labels; a picture is a row."""
    columns = dict(request.columns)
    for ours in columns:
        if ours not in ("image", "label"):
            raise UsageError(f"--columns: unknown name '{ours}'; this source has image, label")
    files = find_files(request, SUFFIXES)
    if storage.is_remote(files[0].path):
        raise DataError(f"'{files[0].path}': arrays must be on a local disk; copy them there")
    arrays = [_Array(file, member) for file in files for member in array_names(file.path)]
    items: list[Item] = []
    for images, labels in _pairs(arrays, columns):
        split = images.file.split or split_in_name(images.name, request.splits.spellings)
        items.extend(_items(images, labels, split))
    return labelled_source(items, (), request)


def _pairs(arrays: list[_Array], columns: Mapping[str, str]) -> list[tuple[_Array, _Array]]:
    """The arrays of pictures, each with its array of labels."""
    images: dict[tuple[str, str], _Array] = {}
    labels: dict[tuple[str, str], _Array] = {}
    for array in arrays:
        # Members of an .npz form a group, and so do the .npy files of a folder.
        where = array.file.name if array.member else os.path.dirname(array.file.name)
        if (rest := _without(array.name, _IMAGES, columns.get("image", ""))) is not None:
            images[where, rest] = array
        elif (rest := _without(array.name, _LABELS, columns.get("label", ""))) is not None:
            labels[where, rest] = array
    alone = sorted(images.keys() ^ labels.keys())
    if alone or not images:
        names = ", ".join(array.name for array in arrays)[:200]
        raise DataError(
            f"arrays of pictures and labels cannot be paired: there are {names}; expected are "
            "names like x_train, y_train or images, labels; for others set "
            "--columns=image=A,label=B"
        )
    return [(images[key], labels[key]) for key in images]


def _without(name: str, words: frozenset[str], given: str) -> str | None:
    """An array's name without the word for its kind; None if it has no such word."""
    if given:
        return "" if name == given else None
    if name.lower() in words:
        return ""
    parts = re.split(r"[_\-.]", name.lower())
    rest = [part for part in parts if part not in words]
    return "_".join(rest) if len(rest) == len(parts) - 1 else None


def _items(images: _Array, labels: _Array, split: str) -> Iterator[Item]:
    pictures, numbers = images.values, _as_labels(labels)
    scale = _scale(images, pictures)
    if len(pictures) != len(numbers):
        raise DataError(
            f"'{images.name}' has {len(pictures)} pictures, but '{labels.name}' {len(numbers)} "
            "labels"
        )
    for row, label in enumerate(numbers):
        at = place(images.file.path, images.member, row, pictures.shape, scale)
        yield Item(split, label, f"{row:07d}", at)


def _as_labels(array: _Array) -> list[Label]:
    values = array.values
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.ndim == 2 and np.isin(values, (0, 1)).all() and (values.sum(1) == 1).all():
        values = values.argmax(1)  # one-hot
    if values.ndim != 1 or values.dtype.kind not in "iubUS":
        raise DataError(
            f"'{array.name}' is {values.dtype}{list(values.shape)}; labels must be integers or "
            "names, one a picture, or one-hot rows"
        )
    if values.dtype.kind == "S":
        values = np.char.decode(values, "utf-8", "replace")
    return [str(v) if values.dtype.kind in "US" else int(v) for v in values.tolist()]


def _scale(array: _Array, values: NDArray[Any]) -> tuple[int, bool]:
    """(factor to 0..255, whether channels come first); raises DataError for other arrays."""
    shown = f"'{array.name}' is {values.dtype}{list(values.shape)}"
    fits = values.ndim == 3 or (values.ndim == 4 and values.shape[3] in (1, 3))
    first = values.ndim == 4 and values.shape[1] in (1, 3) and values.shape[2] >= _SMALLEST_SIDE
    if not (fits or first) or 0 in values.shape:
        raise DataError(
            f"{shown}; pictures must be [count, height, width], [.., 1 or 3] or [count, 1 or 3, "
            "height, width]: reshape it"
        )
    if values.dtype == np.uint8:
        return 1, first and not fits
    if values.dtype.kind not in "biuf":
        raise DataError(f"{shown}; pixels must be numbers")
    low, high = _range(values)
    if low >= 0 and high <= 1 and values.dtype.kind in "bf":
        return 255, first and not fits
    if low >= 0 and 1 < high <= 255:
        return 1, first and not fits
    raise DataError(
        f"{shown} with values from {low:g} to {high:g}; pixels must be 0 to 255, or 0 to 1 as "
        "floats"
    )


def _range(values: NDArray[Any]) -> tuple[float, float]:
    rows = max(1, _CHUNK // max(values[0].nbytes, 1))
    chunks = [values[n : n + rows] for n in range(0, len(values), rows)]
    low, high = min(c.min() for c in chunks), max(c.max() for c in chunks)
    return (float(low), float(high)) if np.isfinite([low, high]).all() else (-np.inf, np.inf)


def _recognise(evidence: Evidence) -> str:
    name = evidence.holds(SUFFIXES)
    return f"the array file {name}" if name else ""


KIND = SourceKind(
    name="arrays",
    layout=(
        "NumPy arrays of pictures and labels, x_train, y_train or images, labels, in .npz or .npy "
        "files (--images=DIR or FILE; --columns=image=A,label=B)"
    ),
    read=read,
    recognise=_recognise,
    variants=1,
    encoding="png",
    owns_images=True,
)
