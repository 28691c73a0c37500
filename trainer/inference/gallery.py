"""Where pictures to embed come from: a folder of files, or a dataset directory."""

from __future__ import annotations

import os
from collections.abc import Iterator

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from preprocess.dataset_format import MANIFEST_FILE, Manifest
from preprocess.shell.errors import DataError, UsageError
from preprocess.shell.json_text import JsonObject
from preprocess.shell.tensorflow_text import error_reason
from trainer.data.dataset import load_manifest
from trainer.data.records import StoredPictures, check_shards
from trainer.inference.picture_paths import below, find_pictures, folder_of
from trainer.inference.serving import Item, Serving, batches


class Folder:
    """The picture files below a folder, sorted, or one file; an id is the path below the folder.

    A file whose own folder is named like a class of the run has its label from it.
    """

    def __init__(self, serving: Serving, path: str) -> None:
        self._paths = find_pictures(path)
        self.path = folder_of(path)
        self.splits: tuple[str, ...] = ()
        self._serving = serving
        self._numbers = {name: number for number, name in enumerate(serving.classes)}

    def __len__(self) -> int:
        return len(self._paths)

    def batches(self) -> Iterator[list[Item]]:
        """Pictures in batches of the run's size."""
        for paths in batches(self._paths, self._serving.batch_size):
            yield [self._named(item) for item in self._serving.file_pictures(paths)]

    def picture(self, number: int, name: str) -> NDArray[np.uint8]:
        """The pixels of the picture of an id; raises DataError if it is gone."""
        path = os.path.join(self.path, name)
        (item,) = self._serving.file_pictures([path])
        if item.pixels is None:
            raise DataError(f"cannot read '{path}': {item.problem}")
        return item.pixels

    def holds(self, name: str, path: str) -> bool:
        """Whether an id is the file at `path`."""
        return os.path.realpath(os.path.join(self.path, name)) == os.path.realpath(path)

    def _named(self, item: Item) -> Item:
        label = self._numbers.get(os.path.basename(os.path.dirname(item.id)), -1)
        return item._replace(id=below(item.id, self.path), label=label)


class Stored:
    """The pictures of a dataset's splits as they came (variant 0), in stored order."""

    def __init__(self, serving: Serving, path: str, split: str) -> None:
        self.path = os.path.abspath(path)
        manifest = load_manifest(path)
        if split and split not in manifest.splits:
            raise DataError(f"no split '{split}' in '{path}'; it has {', '.join(manifest.splits)}")
        self.splits = (split,) if split else tuple(manifest.splits)
        self._serving = serving
        self._labelled = serving.classes == manifest.classes
        self._decoded = serving.decoded_records(manifest.image)
        self._stored, self._counts = self._open(path, manifest)

    def _open(self, path: str, manifest: Manifest) -> tuple[list[StoredPictures], list[int]]:
        stored, counts = [], []
        for name in self.splits:
            split = manifest.split(name)
            check_shards(path, split.image_shards())
            encoded = manifest.image.has_files
            stored.append(StoredPictures(path, [split.image_shards()], encoded=encoded))
            counts.append(split.images)
        if not sum(counts):
            raise DataError(f"no pictures in {', '.join(self.splits)} of '{path}'")
        return stored, counts

    def __len__(self) -> int:
        return sum(self._counts)

    def batches(self) -> Iterator[list[Item]]:
        """Pictures in batches of the run's size."""
        for numbers in batches(range(len(self)), self._serving.batch_size):
            yield self._items(numbers)

    def picture(self, number: int, name: str) -> NDArray[np.uint8]:
        """The pixels of a picture by its number; raises DataError if its id is another."""
        if 0 <= number < len(self):
            (item,) = self._items([number])
            if item.id == name and item.pixels is not None:
                return item.pixels
        raise DataError(
            f"'{self.path}' no longer has picture '{name}' at index {number}: embed again"
        )

    def holds(self, name: str, path: str) -> bool:
        """A dataset does not know the files that its pictures came from."""
        return False

    def _items(self, numbers: list[int]) -> list[Item]:
        ends = np.cumsum(self._counts)
        payloads, splits = [], []
        for number in numbers:
            at = int(np.searchsorted(ends, number, side="right"))
            inside = number - int(ends[at]) + self._counts[at]
            payloads.append(self._stored[at].payload(0, *self._stored[at].place(inside)))
            splits.append(self.splits[at])
        try:
            decoded = self._decoded(np.array(payloads, object))
        except tf.errors.OpError as error:
            raise DataError(
                f"a picture of '{self.path}' cannot be decoded ({error_reason(error)}); "
                "run `python -m preprocess verify --deep`"
            ) from None
        pixels, ids, labels = (part.numpy() for part in decoded)
        return [
            Item(
                name.decode("utf-8"),
                picture,
                label=int(label) if self._labelled else -1,
                split=split,
            )
            for name, picture, label, split in zip(ids, pixels, labels, splits, strict=True)
        ]


Gallery = Folder | Stored


def open_gallery(serving: Serving, path: str, split: str = "") -> Gallery:
    """The pictures at a path; `split` '' = all of a dataset's.

    Raises:
      DataError: neither a dataset nor a folder with pictures, or no such split.
      UsageError: a split of a folder.
    """
    if os.path.isfile(os.path.join(path, MANIFEST_FILE)):
        return Stored(serving, path, split)
    if split:
        raise UsageError(f"--split={split} is for a dataset; '{path}' is none")
    return Folder(serving, path)


def describe(gallery: Gallery) -> JsonObject:
    """What to write down so that the same pictures can be opened again."""
    return {
        "images": gallery.path,
        "split": gallery.splits[0] if len(gallery.splits) == 1 else "",
    }
