"""The pictures nearest to one: by embedding them, or from a file of `trainer embed`."""

from __future__ import annotations

import heapq
import os
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from preprocess.shell.atomic import write_bytes
from preprocess.shell.errors import DataError, UsageError
from trainer.data.storage import is_address
from trainer.inference.embedding import embedded, load_embeddings
from trainer.inference.gallery import Gallery, open_gallery
from trainer.inference.serving import EMBEDDING, Item, Serving
from trainer.report.neighbours_sheet import Shown, neighbours_sheet
from trainer.report.sheet import png
from trainer.tasks.task import SQUARED


class Neighbour(NamedTuple):
    """A picture near another one."""

    distance: float
    number: int  # of the picture in its gallery
    item: Item


def distances(
    query: NDArray[np.floating[Any]], rows: NDArray[np.floating[Any]], metric: str
) -> NDArray[np.float64]:
    """float64[N] from query [E] to rows [N,E]: squared, or 1 - cosine of the angle.

    A row of zeros has no direction: its cosine is 0.
    """
    query, rows = np.asarray(query, np.float64), np.asarray(rows, np.float64)
    if metric == SQUARED:
        squared: NDArray[np.float64] = ((rows - query) ** 2).sum(-1)
        return squared
    lengths = np.linalg.norm(rows, axis=-1) * np.linalg.norm(query)
    cosine: NDArray[np.float64] = rows @ query / np.where(lengths > 0, lengths, 1.0)
    return 1.0 - cosine


class Nearest:
    """The k nearest of what it is shown; equal distances go by the order of coming."""

    def __init__(self, query: NDArray[np.floating[Any]], metric: str, count: int) -> None:
        self._query, self._metric, self._count = query, metric, count
        self._found: list[Neighbour] = []

    def show(self, items: list[Item], rows: NDArray[Any], numbers: list[int]) -> None:
        """Takes pictures into account."""
        each = distances(self._query, rows, self._metric)
        new = [Neighbour(float(d), n, i) for d, n, i in zip(each, numbers, items, strict=True)]
        self._found = heapq.nsmallest(
            self._count, [*self._found, *new], key=lambda found: (found.distance, found.number)
        )

    def found(self) -> list[Neighbour]:
        """The nearest first."""
        return self._found


class Found(NamedTuple):
    """The query, its neighbours, where they came from, and what could not be read there."""

    query: Item
    neighbours: list[Neighbour]
    gallery: Gallery
    unreadable: list[Item]


def read_query(serving: Serving, path: str) -> Item:
    """The picture asked about; raises DataError if it cannot be read."""
    (query,) = serving.file_pictures([path])
    if query.pixels is None:
        raise DataError(f"cannot read --query='{path}': {query.problem}")
    return query


def among_pictures(
    serving: Serving,
    query: Item,
    gallery: Gallery,
    count: int,
    progress: Callable[[int], object] = lambda done: None,
) -> Found:
    """The nearest of a gallery, embedded batch by batch.

    A file of the gallery that is the query itself is left out. `progress` is called with the
    pictures done since it was called last.

    Raises:
      DataError: no other picture can be read.
    """
    nearest = _nearest(serving, query, count)
    unreadable: list[Item] = []
    for batch in embedded(serving, gallery):
        nearest.show(batch.items, batch.rows, batch.numbers)
        unreadable += batch.unreadable
        progress(len(batch.items) + len(batch.unreadable))
    return Found(query, _others(nearest, query, gallery, count), gallery, unreadable)


def among_embeddings(
    serving: Serving, query: Item, path: str, count: int, images: str = ""
) -> Found:
    """The nearest in a file of embeddings.

    Its pictures are at `images`; "" = where the file says, if that is a path of this machine.

    Raises:
      DataError: no such file, or embeddings of other weights; the pictures are gone.
      UsageError: the pictures are at an address that the file alone names.
    """
    stored = load_embeddings(path)
    run = serving.run
    if stored["weights_digest"].item() != run.session.weights_digest():
        raise DataError(
            f"--embeddings='{path}' are not of this state of '{run.path}' (step {run.step}): "
            "run `trainer embed` again"
        )
    ids = stored["ids"].tolist()
    labels = stored["labels"].tolist() if "labels" in stored else [-1] * len(ids)
    splits = stored["splits"].tolist() if "splits" in stored else [""] * len(ids)
    items = [Item(n, None, "", a, s) for n, a, s in zip(ids, labels, splits, strict=True)]
    noted = stored["images"].item()
    if not images and is_address(noted):
        raise UsageError(
            f"the pictures of --embeddings='{path}' are at '{noted}', as the file says; give "
            "--images=ADDRESS too to have them read there"
        )
    gallery = open_gallery(serving, images or noted, stored["split"].item())
    nearest = _nearest(serving, query, count)
    nearest.show(items, stored["embeddings"], stored["numbers"].tolist())
    found = [
        each._replace(item=each.item._replace(pixels=gallery.picture(each.number, each.item.id)))
        for each in _others(nearest, query, gallery, count)
    ]
    return Found(query, found, gallery, [])


def _nearest(serving: Serving, query: Item, count: int) -> Nearest:
    # One more than asked for: the query may be among them.
    return Nearest(serving.said_of([query])[EMBEDDING][0], serving.metric, count + 1)


def _others(nearest: Nearest, query: Item, gallery: Gallery, count: int) -> list[Neighbour]:
    others = [each for each in nearest.found() if not gallery.holds(each.item.id, query.id)]
    if not others:
        raise DataError(f"'{gallery.path}' has no picture other than the query")
    return others[:count]


def write_sheet(serving: Serving, found: Found, path: str) -> None:
    """The contact sheet as a PNG file, whole or not at all; raises UsageError."""
    pictures = [
        Shown(each.item.pixels, each.item.id, each.distance, class_name(serving, each.item) or "")
        for each in found.neighbours
        if each.item.pixels is not None
    ]
    assert found.query.pixels is not None
    query = Shown(found.query.pixels, os.path.basename(found.query.id))
    data = png(neighbours_sheet(query, pictures, f"Nearest by {serving.metric}"))
    try:
        write_bytes(path, data, sync=False)
    except OSError as error:
        raise UsageError(f"--output='{path}': {error.strerror}") from None


def class_name(serving: Serving, item: Item) -> str | None:
    """The name of a picture's class, where it is known."""
    return serving.classes[item.label] if 0 <= item.label < len(serving.classes) else None
