"""Batches of one split as arrays: each a pure function of its step, without TensorFlow.

They are bit for bit those of reader.py, whose docstring describes their contents.
"""

from __future__ import annotations

import abc
import functools
import itertools
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from preprocess.dataset_format import Manifest
from preprocess.shell.errors import ConfigError, DataError
from trainer.data import storage
from trainer.data.loader_settings import LoaderSettings
from trainer.data.order import (
    PictureOrder,
    ReplicaSlice,
    element_rows,
    steps_per_pass,
    triplet_order,
)
from trainer.data.payloads import Payloads
from trainer.data.picture_store import PictureStore
from trainer.data.pixel_decoding import PixelDecoder
from trainer.data.record_targets import RecordTargets
from trainer.data.records import StoredPictures, check_shards, read_index
from trainer.data.triplet_rows import TripletRows, read_triplets
from trainer.data.variants import StoredVariants
from trainer.monitoring.memory import available_bytes

Batch: TypeAlias = "dict[str, np.ndarray]"
Arrays: TypeAlias = "dict[str, tuple[type[np.generic], tuple[int, ...]]]"
KEPT_SHARE = 0.5  # of the free memory, for decoded pictures of triplets


class StepBatches(abc.ABC):
    """The batches of a split, for any kind of record.

    Attributes:
      records: number of records in a pass.
      row_shape: of a row of `image`.
      arrays: dtype and shape of each array of a batch.
    """

    records: int
    row_shape: tuple[int, ...]
    arrays: Arrays

    @abc.abstractmethod
    def __init__(self, dataset: str, manifest: Manifest, settings: LoaderSettings) -> None:
        """Opens a split; raises the same errors as open_dataset()."""

    @abc.abstractmethod
    def batch(self, step: int) -> Batch:
        """One worker's share of the batch of a step, counted over passes."""


class PictureBatches(StepBatches):
    """Pictures with what there is to learn of each: a label, several, numbers."""

    def __init__(self, dataset: str, manifest: Manifest, settings: LoaderSettings) -> None:
        split = manifest.split(settings.split)
        if not split.images:
            raise DataError(f"split '{settings.split}' of '{dataset}' has no pictures")
        stored, variants = _stored(dataset, manifest, settings)
        first = split.image_shards()
        order = PictureOrder(
            [shard.records for shard in first],
            [shard.bytes for shard in first],
            seed=settings.seed,
            group_bytes=settings.shuffle_megabytes << 20,
            shuffle=settings.in_training,
        )
        self._payloads = Payloads(
            stored,
            order,
            variants=StoredVariants(variants),
            batch_size=settings.batch_size,
            parallel_reads=settings.threads,
        )
        decoder, targets = _decoder(manifest, settings), RecordTargets(manifest)
        cache_bytes = settings.cache_bytes or 0
        self._store = PictureStore(stored, decoder, targets, variants, cache_bytes)
        self._classes = len(manifest.classes)
        self._dataset, self._settings = dataset, settings
        self._part = ReplicaSlice(settings.worker[0], 1, settings.worker[1])
        self.records, self.row_shape = order.records, decoder.shape
        fields = {name: (kind, shape) for name, kind, shape in targets.fields}
        self.arrays = _arrays(settings, self.row_shape, fields)

    def batch(self, step: int) -> Batch:
        """See StepBatches."""
        self._payloads.expect(step, self._part)
        record, weight, share, row = self._payloads.rows(step, self._part)
        a_pass = steps_per_pass(self.records, self._settings.batch_size)
        image, targets = self._store.pictures(step // a_pass, record)
        label = targets.get("label", np.zeros(0, np.int64))
        odd = label[(label < 0) | (label >= self._classes)]
        if len(odd):
            raise DataError(
                f"a record has a label outside of the classes of '{self._dataset}' "
                f"({' '.join(map(str, odd))}); run `python -m preprocess verify --deep`"
            )
        rows = {"record": record, "weight": weight, "share": share, "row": row}
        return {**rows, "image": image, **targets}


class TripletBatches(StepBatches):
    """Triplets of pictures, with their votes."""

    def __init__(self, dataset: str, manifest: Manifest, settings: LoaderSettings) -> None:
        split = manifest.split(settings.split)
        if not split.triplets:
            raise DataError(f"split '{settings.split}' of '{dataset}' has no triplets")
        if settings.sizes_differ(manifest):
            raise ConfigError(
                "the pictures have different sizes, but triplets need a single one: "
                "build the dataset with --image_size"
            )
        stored, variants = _stored(dataset, manifest, settings)
        check_shards(dataset, split.triplet_shards())
        # Keys ascend over the shards in order, so a key's rank is its number in stored order.
        indexes = storage.for_each(
            lambda shard: read_index(dataset, shard), split.image_shards(), dataset
        )
        keys = np.concatenate([index[:, 0] for index in indexes])
        self._triplets: TripletRows = read_triplets(dataset, split.triplet_shards(), keys)
        decoder = _decoder(manifest, settings)
        most = settings.cache_bytes
        if most is None:
            most = int(available_bytes() * KEPT_SHARE)
        self._store = PictureStore(stored, decoder, RecordTargets(manifest), variants, most)
        self._settings = settings
        self._part = ReplicaSlice(settings.worker[0], 1, settings.worker[1])
        self.records, self.row_shape = len(self._triplets.votes), (3, *decoder.shape)
        self.arrays = _arrays(settings, self.row_shape, {"votes": (np.float32, (3,))})
        # A cache of a few entries: the batches of a pass need the same order.
        self._order = functools.lru_cache(maxsize=2)(self._make_order)

    def batch(self, step: int) -> Batch:
        """See StepBatches."""
        pass_number, rows = element_rows(step, self._part, self.records, self._settings.batch_size)
        record = self._order(pass_number)[rows.positions]
        ranks = self._triplets.ranks[record]
        image, _ = self._store.pictures(pass_number, ranks.reshape(-1))
        return {
            "record": record,
            "weight": rows.weight,
            "share": rows.share,
            "row": rows.rows,
            "votes": self._triplets.votes[record],
            "image": image.reshape(-1, *self.row_shape),
        }

    def _make_order(self, pass_number: int) -> NDArray[np.int64]:
        """The record at each position of a pass, int64[records]."""
        if not self._settings.in_training:
            return np.arange(self.records, dtype=np.int64)
        return triplet_order(self._settings.seed, pass_number, self.records)


def _arrays(
    settings: LoaderSettings,
    row_shape: tuple[int, ...],
    targets: Arrays,
) -> Arrays:
    """The arrays of one worker's share of a batch, from those of a row."""
    rows: Arrays = {
        "record": (np.int64, ()),
        "weight": (np.float32, ()),
        "share": (np.float32, ()),
        "row": (np.int32, ()),
        "image": (np.uint8, row_shape),
        **targets,
    }
    size = settings.batch_size // settings.worker[1]
    return {name: (kind, (size, *shape)) for name, (kind, shape) in rows.items()}


def _stored(
    dataset: str, manifest: Manifest, settings: LoaderSettings
) -> tuple[StoredPictures, int]:
    """(the picture records in the variants in use, the number of variants)."""
    split = manifest.split(settings.split)
    variants = settings.variants_of(split)
    shards = [split.image_shards(variant) for variant in range(variants)]
    check_shards(dataset, itertools.chain(*shards))
    encoded = manifest.image.has_files
    return StoredPictures(dataset, shards, settings.threads, encoded=encoded), variants


def _decoder(manifest: Manifest, settings: LoaderSettings) -> PixelDecoder:
    side = settings.image_size if settings.sizes_differ(manifest) else 0
    return PixelDecoder(manifest.image, settings.channels, side)
