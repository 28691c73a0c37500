"""Triplets over an in-memory table of the pass's pictures.

A face is in about nine triplets: each picture is read and decoded once a pass into a table, and a
batch is one gather.
"""

from __future__ import annotations

import functools
import itertools
import os
from collections.abc import Callable

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from preprocess.dataset_format import Manifest, TripletKey
from preprocess.shell.errors import ConfigError, DataError
from preprocess.shell.tensorflow_text import error_reason
from trainer.config.keys import Config
from trainer.data import storage
from trainer.data.cuts import Cut, gather_cuts, table_cuts
from trainer.data.decoding import Decoder
from trainer.data.live import live_variants
from trainer.data.order import ReplicaSlice, element_rows, steps_per_pass, triplet_order
from trainer.data.record_ids import picture_ids
from trainer.data.records import StoredPictures, check_shards, read_index
from trainer.data.rows import Tensors, from_python, row_specs
from trainer.data.shares import SetRows
from trainer.data.table import PictureTable, Table
from trainer.data.table_memory import TableMemory
from trainer.data.triplet_rows import ranks_of
from trainer.data.variants import StoredVariants, Variants, VariantShards
from trainer.monitoring.stages import HOST_MAP

TRIPLET_FEATURES = {
    TripletKey.IMAGES: tf.io.FixedLenFeature([3], tf.int64),
    TripletKey.VOTES: tf.io.FixedLenFeature([3], tf.float32),
    TripletKey.TYPE: tf.io.FixedLenFeature([], tf.string),
    TripletKey.ROW: tf.io.FixedLenFeature([], tf.int64),
}


class TripletReader:
    """The triplets of one split.

    Attributes:
      records: number of triplets in the split and in a pass.
      pictures_a_record: 3.
      id_columns: what ids() has of a record.
      steps_per_pass: steps that see every triplet once.
      batch_size: triplets of the global batch.
      table: "decoded" or "encoded", what is kept in memory.
      table_bytes: peak memory of its tables.
      redecodes: whether a table of decoded pictures would avoid decoding pictures repeatedly.
      votes: float32[records, 3]. types: list of str. rows: int64[records], lines of the CSV.
      directory: the dataset directory.
      live: its live variants, if the training reads those.
      error: the error of a failed read, which TensorFlow would not report in full.
    """

    pictures_a_record = 3
    id_columns = ("line", "face1", "face2", "face3")
    error: Exception | None = None

    def __init__(
        self,
        dataset: str,
        manifest: Manifest,
        name: str,
        config: Config,
        *,
        training: bool,
        memory: TableMemory | None = None,
        of_set: SetRows | None = None,
    ) -> None:
        split = manifest.split(name)
        self._of_set = of_set
        if not split.triplets:
            raise DataError(f"split '{name}' of '{dataset}' has no triplets")
        self._seed = config.seed
        self._training = training
        if manifest.image.height is None or manifest.image.width is None:
            raise ConfigError(
                "the pictures have different sizes, but a table of them needs a single one: "
                "build the dataset with --image_size"
            )
        variants = config.data.stored_variants(split.variants) if training else 1
        self.live = live_variants(dataset, manifest, name, config.data) if training else None
        self._variants: Variants = self.live or StoredVariants(variants)
        pictures: VariantShards = self.live or [
            split.image_shards(variant) for variant in range(variants)
        ]
        check_shards(dataset, [*itertools.chain(*pictures), *split.triplet_shards()])
        self._as_they_came = pictures[0]
        self._stored = StoredPictures(dataset, pictures, encoded=manifest.image.has_files)
        # Keys ascend over the shards in order, so a key's index in the table is its rank.
        indexes = storage.for_each(lambda s: read_index(dataset, s), pictures[0], dataset)
        keys = np.concatenate([index[:, 0] for index in indexes])
        files = [os.path.join(dataset, shard.file) for shard in split.triplet_shards()]
        self._load_triplets(files, keys)
        self.batch_size = config.batch_size
        self.records = len(self.votes)
        self.steps_per_pass = steps_per_pass(self.records, self.batch_size)
        self.directory = dataset
        self._decoder = Decoder(manifest.image, config.model.channels)
        self._table = PictureTable(
            dataset,
            pictures,
            self._decoder,
            split=name,
            training=training,
            config=config.data,
            memory=(memory or TableMemory()).limit(
                "free or add memory, or build the dataset with a smaller --image_size"
            ),
        )
        self.table, self.table_bytes = self._table.kind, self._table.bytes
        self.pictures_in_table = self._table.pictures
        self.redecodes = self.table != "decoded"  # a picture is in several triplets
        # A cache of a few entries: the batches of a pass need the same order.
        self._order = functools.lru_cache(maxsize=2)(self._make_order)

    @property
    def picture_shape(self) -> tuple[int, int, int]:
        """(H, W, C) of the pictures of a batch."""
        return self._decoder.shape

    def dataset(
        self, first_step: int, replicas: ReplicaSlice, steps: int | None = None
    ) -> tf.data.Dataset:
        """Batches from `first_step` of the run on, one for each replica in turn; as one of several
        sets, its rows of each step, for all the replicas together.

        Args:
          first_step: counted over passes; the pass is first_step // steps_per_pass.
          replicas: the replicas to feed.
          steps: their number; None = endless.
        """
        batches = self._gathered(first_step, replicas, self._of_rows)
        return batches if steps is None else batches.take(steps * replicas.count)

    def cuts(self, replicas: ReplicaSlice) -> tuple[Cut, ...]:
        """The pipeline of dataset() cut after each stage of filling the table and of gathering."""
        a_step = self.batch_size * self.pictures_a_record * replicas.count / replicas.total
        return (
            *table_cuts(self._table, self.steps_per_pass),
            *gather_cuts(
                self._table,
                lambda make, part: self._gathered(0, replicas, make, part),
                self._of_rows,
                a_step,
            ),
        )

    def _gathered(
        self,
        first_step: int,
        replicas: ReplicaSlice,
        make: Callable[[Tensors, Tensors], tf.Tensor],
        part: int | None = None,
    ) -> tf.data.Dataset:
        """`make` of each batch's rows of the table, three a triplet, and its bookkeeping."""
        triplets, votes = tf.constant(self._triplets), tf.constant(self.votes)
        of_set = self._of_set
        specs = row_specs(None if of_set else self.batch_size // replicas.total)

        def made(rows: Tensors, table: Table) -> tf.Tensor:
            ranks = tf.reshape(tf.gather(triplets, rows["record"]), [-1])
            rows["votes"] = tf.gather(votes, rows["record"])
            return make(self._table.gather(table, ranks), rows)

        def batch(number: tf.Tensor, table: Table) -> tf.Tensor:
            rows = from_python(HOST_MAP, lambda n: self._numbers(n, replicas), number, specs)
            return made(rows, table)

        def piece(step: tf.Tensor, of_pass: tf.Tensor, table: Table) -> tf.Tensor:
            rows = from_python(
                HOST_MAP, lambda s, p: self._piece(s, p, replicas), [step, of_pass], specs
            )
            return made(rows, table)

        if of_set:
            return self._table.pieces(first_step, of_set, self.records, piece)
        return self._table.batches(first_step, replicas, self.steps_per_pass, batch, part=part)

    def _of_rows(self, found: Tensors, rows: Tensors) -> Tensors:
        pixels = self._table.pixels(found)
        # There may be none of one of several sets.
        size = tf.shape(pixels)[0] // 3 if self._of_set else -1
        return {**rows, "image": tf.reshape(pixels, [size, 3, *self.picture_shape])}

    def damage(self) -> DataError | None:
        """Describes the first damaged picture record; None if all are intact."""
        return self._stored.damage()

    def ids(self) -> list[tuple[str, ...]]:
        """The line of the CSV and the ids of the pictures of every triplet, in stored order; reads
        the pictures of the split.
        """
        names = picture_ids(self.directory, self._as_they_came)
        return [
            (str(line), *(names[rank] for rank in ranks))
            for line, ranks in zip(self.rows.tolist(), self._triplets.tolist(), strict=True)
        ]

    def pictures(self, records: list[int]) -> list[NDArray[np.uint8]]:
        """uint8[3,H,W,C] of triplets in stored order, variant 0."""
        return [
            np.stack([self._picture(int(rank), lambda _: 0) for rank in self._triplets[record]])
            for record in records
        ]

    def first_pictures(self, rows: int) -> NDArray[np.uint8]:
        """uint8[rows,3,H,W,C]: the first rows of the first pass, in the variants it reads."""
        order = triplet_order(self._seed, 0, self.records) if self._training else np.arange(rows)

        def variant(shard: int) -> int:
            return self._variants.of(0, shard)

        ranks = self._triplets[order[:rows]]
        return np.stack([[self._picture(int(rank), variant) for rank in row] for row in ranks])

    def _picture(self, rank: int, variant: Callable[[int], int]) -> NDArray[np.uint8]:
        """uint8[H,W,C] by rank, read separately: a table takes long and much memory to build."""
        shard, record = self._stored.place(rank)
        return self._decoder.payload(self._stored.payload(variant(shard), shard, record))

    def _load_triplets(self, files: list[str], keys: NDArray[np.int64]) -> None:
        features = {name: [] for name in TRIPLET_FEATURES}  # type: dict[str, list[np.ndarray]]
        buffer = storage.stream_bytes(files[0])
        batches = tf.data.TFRecordDataset(files, buffer_size=buffer).batch(4096)
        try:
            for batch in batches.map(lambda b: tf.io.parse_example(b, TRIPLET_FEATURES)):
                for name, values in batch.items():
                    features[name].append(values.numpy())
        except tf.errors.OpError as error:
            raise DataError(
                f"a triplet shard is damaged ({error_reason(error)}); "
                "run `python -m preprocess verify`"
            ) from None
        joined = {name: np.concatenate(values) for name, values in features.items()}
        images = joined[TripletKey.IMAGES]
        self._triplets = ranks_of(images, keys).astype(np.int32)
        self.votes = joined[TripletKey.VOTES]
        self.types = [t.decode("utf-8") for t in joined[TripletKey.TYPE]]
        self.rows = joined[TripletKey.ROW]

    def _numbers(self, element: int, replicas: ReplicaSlice) -> tuple[np.ndarray, ...]:
        """The bookkeeping of a batch."""
        pass_number, rows = element_rows(element, replicas, self.records, self.batch_size)
        record = self._order(pass_number)[rows.positions]
        return record, rows.weight, rows.share, rows.rows

    def _piece(self, step: int, of_pass: int, replicas: ReplicaSlice) -> tuple[np.ndarray, ...]:
        """The same of a step's records of one pass, in batches of several sets."""
        assert self._of_set
        rows = self._of_set.piece(step, replicas, self.records, of_pass)
        return self._order(of_pass)[rows.positions], rows.weight, rows.share, rows.rows

    def _make_order(self, pass_number: int) -> NDArray[np.int64]:
        """The record at each position of a pass, int64[records]."""
        if not self._training:
            return np.arange(self.records, dtype=np.int64)
        return triplet_order(self._seed, pass_number, self.records)
