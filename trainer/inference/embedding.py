"""Embeddings of many pictures: made in batches, kept in a .npz file, shown by the projector."""

from __future__ import annotations

import os
import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from preprocess.shell.atomic import replacing
from preprocess.shell.errors import DataError, UsageError
from preprocess.shell.json_text import JsonObject
from trainer.inference import projector
from trainer.inference.gallery import Gallery, describe
from trainer.inference.serving import Item
from trainer.models.foreign_arrays import load_npz

SHOWN_PROBLEMS = 20


class Embedder(Protocol):
    """What makes embeddings: a run (Serving), or several (Ensemble).

    Attributes:
      dimensions, metric, layer, classes: see Serving.
    """

    dimensions: int
    metric: str
    layer: str
    classes: tuple[str, ...]

    def embeddings(self, items: Sequence[Item], numbers: Sequence[int]) -> NDArray[np.float32]:
        """float32 [n, E] of pictures, which all could be read, and their numbers among all."""

    def weights_digest(self) -> str:
        """Of which weights they are."""


class Embedded(NamedTuple):
    """What embed() made: pictures embedded, those left out, and the projector's folder."""

    pictures: int
    unreadable: list[Item]
    projector: Path | None


def embed(
    embedder: Embedder,
    gallery: Gallery,
    file: EmbeddingFile,
    logs: Path | None,
    progress: Callable[[int], object] = lambda count: None,
) -> Embedded:
    """Embeds a gallery into a file, and into the projector below a run's TensorBoard logs.

    Args:
      embedder: the run or runs.
      gallery: the pictures.
      file: opened before the work, so that a path that cannot be written costs nothing.
      logs: the run's `tensorboard` folder; None = no projector.
      progress: called with the pictures done since it was called last.

    Raises:
      DataError: none of the pictures can be read.
      UsageError: the file or the logs cannot be written.
    """
    shown = set(projector.chosen_points(len(gallery), embedder.dimensions).tolist())
    sprites: dict[int, NDArray[np.uint8]] = {}
    unreadable: list[Item] = []
    for batch in embedded(embedder, gallery):
        numbered = zip(batch.numbers, batch.items, strict=True)
        for row, (number, item) in enumerate(numbered, len(file.items)):
            if logs and number in shown and item.pixels is not None:
                sprites[row] = projector.sprite(item.pixels)
        file.add(batch)
        unreadable += batch.unreadable
        progress(len(batch.items) + len(batch.unreadable))
    if not file.items:
        first = unreadable[0]
        raise DataError(
            f"none of {len(unreadable)} pictures of '{gallery.path}' can be read; the first: "
            f"{first.id}: {first.problem}"
        )
    file.write(embedder, gallery)
    folder = _project(embedder, file, sprites, logs) if logs and sprites else None
    return Embedded(len(file.items), unreadable, folder)


def _project(
    embedder: Embedder, file: EmbeddingFile, sprites: dict[int, NDArray[np.uint8]], logs: Path
) -> Path:
    items = [file.items[row] for row in sprites]
    columns = {"id": [item.id for item in items]}
    if any(item.label >= 0 for item in items):
        names = {-1: "not known", **dict(enumerate(embedder.classes))}
        columns["label"] = [names[item.label] for item in items]
    if any(item.split for item in items):
        columns["split"] = [item.split for item in items]
    rows = file.rows(np.array(list(sprites), np.int64))
    try:
        return projector.write_projector(
            logs, embedder.metric, rows, columns, list(sprites.values())
        )
    except OSError as error:
        raise UsageError(f"'{logs}' cannot be written: {error.strerror}") from None


class Batch(NamedTuple):
    """Pictures with their embeddings float32[n,E] and places among all, and unreadable ones."""

    items: list[Item]
    rows: NDArray[np.float32]
    numbers: list[int]
    unreadable: list[Item]


def embedded(embedder: Embedder, gallery: Gallery) -> Iterator[Batch]:
    """The pictures of a gallery, in its batches."""
    start = 0
    for items in gallery.batches():
        numbers = [start + at for at, item in enumerate(items) if item.pixels is not None]
        good = [item for item in items if item.pixels is not None]
        rows = embedder.embeddings(good, numbers)
        yield Batch(good, rows, numbers, [item for item in items if item.pixels is None])
        start += len(items)


def words_of_unreadable(items: list[Item]) -> list[str]:
    """A line each, of the first ones, and how many more there are."""
    lines = [f"left out: {item.id}: {item.problem}" for item in items[:SHOWN_PROBLEMS]]
    more = len(items) - SHOWN_PROBLEMS
    return [*lines, f"left out: {more} more"] if more > 0 else lines


class EmbeddingFile:
    """Writes a .npz as its rows come, whole or not at all.

    The rows wait in a file without a name next to it: memory holds ids only.

        embeddings  float32[N,E]     ids  str[N]
        labels      int64[N], -1 = not known       classes  str[C]       (of a classifier)
        splits      str[N]                                               (of a dataset)
        numbers     int64[N], place among the pictures given, unreadable ones included
        metric, weights_digest, images, split: what they are, of which run, of which pictures
        layer       whose output they are                                (where one was named)
    """

    def __init__(self, path: str) -> None:
        self._path = path
        folder = os.path.dirname(os.path.abspath(path))
        try:
            self._rows: IO[bytes] = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115
        except OSError as error:
            raise UsageError(f"--output='{path}': {error.strerror}") from None
        self.dimensions = 0
        self.items: list[Item] = []
        self._numbers: list[int] = []

    def add(self, batch: Batch) -> None:
        """Appends what could be read; of the pictures themselves nothing is kept."""
        self.dimensions = batch.rows.shape[1]
        self._rows.write(np.ascontiguousarray(batch.rows, "<f4").tobytes())
        self.items += [item._replace(pixels=None) for item in batch.items]
        self._numbers += batch.numbers

    def rows(self, chosen: NDArray[np.int64]) -> NDArray[np.float32]:
        """float32[n,E]: some of the rows, by their order of coming."""
        self._rows.flush()
        shape = (len(self.items), self.dimensions)
        mapped = np.memmap(self._rows, "<f4", "r", shape=shape)
        return np.array(mapped[chosen], np.float32)

    def write(self, embedder: Embedder, gallery: Gallery) -> None:
        """Makes the .npz; raises UsageError if it cannot be written."""
        values: JsonObject = {
            "ids": [item.id for item in self.items],
            "numbers": np.array(self._numbers, np.int64),
            "metric": embedder.metric,
            "weights_digest": embedder.weights_digest(),
            **describe(gallery),
        }
        if any(item.label >= 0 for item in self.items):
            values["labels"] = np.array([item.label for item in self.items], np.int64)
            values["classes"] = list(embedder.classes)
        if embedder.layer:
            values["layer"] = embedder.layer
        if gallery.splits:
            values["splits"] = [item.split for item in self.items]
        try:
            with replacing(self._path, sync=False) as temporary:
                self._write(temporary, values)
        except OSError as error:
            raise UsageError(f"--output='{self._path}': {error.strerror}") from None

    def _write(self, path: str, values: JsonObject) -> None:
        shape = (len(self.items), self.dimensions)
        header = {"descr": "<f4", "fortran_order": False, "shape": shape}
        with zipfile.ZipFile(path, "w") as archive:
            with archive.open("embeddings.npy", "w", force_zip64=True) as file:
                np.lib.format.write_array_header_1_0(file, header)
                self._rows.seek(0)
                shutil.copyfileobj(self._rows, file, 1 << 20)
            for name, value in values.items():
                with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                    np.lib.format.write_array(file, np.asarray(value), allow_pickle=False)


def layer_of_embeddings(path: str) -> str:
    """The layer whose outputs a file of embeddings holds; "" = those of its run."""
    found = load_embeddings(path).get("layer")
    return "" if found is None else str(found.item())


def load_embeddings(path: str) -> dict[str, NDArray[Any]]:
    """The arrays of an EmbeddingFile; raises DataError if it is none."""
    try:
        found = load_npz(path)
        ids, rows = found["ids"], found["embeddings"]
        if rows.ndim != 2 or not len(rows) or not len(rows) == len(ids) == len(found["numbers"]):
            raise ValueError("its arrays do not belong together")
        for name in ("metric", "weights_digest", "images", "split"):
            if not isinstance(found[name].item(), str):
                raise ValueError(f"its {name} is no text")
        if ids.dtype.kind != "U" or found["numbers"].dtype.kind not in "iu":
            raise ValueError("its ids are no names, or its numbers none")
        if "layer" in found and not isinstance(found["layer"].item(), str):
            raise ValueError("its layer is no text")
        for name in {"labels", "splits"} & found.keys():
            if found[name].shape != ids.shape:
                raise ValueError("its arrays do not belong together")
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(
            f"--embeddings='{path}' is not what `trainer embed` writes: {error}"
        ) from None
    return found
