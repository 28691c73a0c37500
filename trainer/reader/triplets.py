"""Triplets over an in-memory table of the pass's pictures.

A face is in about nine triplets: each picture is read and decoded once a pass into a table,
and a batch is one gather. The next pass's table is prepared while this one is used.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from preprocess.dataset_format import ImageKey, Manifest, TripletKey, variant_of
from trainer.errors import ConfigError, DataError
from trainer.memory import available_bytes
from trainer.order import ReplicaSlice, batch_rows, steps_per_pass, triplet_order
from trainer.reader import storage
from trainer.reader.decoding import FEATURES, decode
from trainer.reader.records import StoredPictures, check_shards, read_index

# Peak of a table that is built while another is in use, in tables (measured for the design:
# 2.4 to 2.6), and of a single one.
TABLES_AT_ONCE = {True: 2.6, False: 1.3}
CALLS_A_CORE = 2  # decoding at a time while a table is built
MEMORY_SHARE = 0.7  # of what is free; the model and the rest need some too

_TRIPLET_FEATURES = {
    TripletKey.IMAGES: tf.io.FixedLenFeature([3], tf.int64),
    TripletKey.VOTES: tf.io.FixedLenFeature([3], tf.float32),
    TripletKey.TYPE: tf.io.FixedLenFeature([], tf.string),
    TripletKey.ROW: tf.io.FixedLenFeature([], tf.int64),
}


class TripletReader:
    """The triplets of one split.

    Attributes:
      records: triplets in the split, which is also what a pass has.
      pictures_a_record: 3.
      steps_per_pass: steps that see every triplet once.
      batch_size: triplets of the global batch.
      table: "decoded" or "encoded", what is kept in memory.
      table_bytes: memory that its tables take at the peak.
      votes: float32[records, 3]. types: list of str. rows: int64[records], lines of the CSV.
      directory: the dataset directory.
      error: what a read failed with, where TensorFlow would only say that it did.
    """

    pictures_a_record = 3

    def __init__(
        self,
        dataset: str,
        manifest: Manifest,
        name: str,
        config: Any,
        *,
        training: bool,
        reserved_bytes: int = 0,
    ) -> None:
        split = manifest.split(name)
        if not split.triplets:
            raise DataError(f"split '{name}' of '{dataset}' has no triplets")
        self._seed = config.seed
        self._training = training
        self._channels = config.model.channels
        self._image = manifest.image
        variants = config.data.variants or split.variants
        self._variants = min(variants, split.variants) if training else 1
        pictures = [split.image_shards(variant) for variant in range(self._variants)]
        check_shards(dataset, [*itertools.chain(*pictures), *split.triplet_shards()])
        self._files = [[os.path.join(dataset, s.file) for s in shards] for shards in pictures]
        self._stored = StoredPictures(dataset, pictures)
        # Shards in order hold ascending keys, so a key's place in the table is its rank.
        indexes = storage.for_each(lambda s: read_index(dataset, s), pictures[0], dataset)
        keys = np.concatenate([index[:, 0] for index in indexes])
        files = [os.path.join(dataset, shard.file) for shard in split.triplet_shards()]
        self._load_triplets(files, keys)
        self.pictures_in_table = len(keys)
        self.batch_size = config.batch_size
        self.records = len(self.votes)
        self.steps_per_pass = steps_per_pass(self.records, self.batch_size)
        self.directory = dataset
        self.error: Exception | None = None
        stored = max(sum(shard.bytes for shard in shards) for shards in pictures)
        self.table, self.table_bytes = self._choose_table(
            config.data.image_table, name, stored, reserved_bytes
        )
        self._kept: Any = None

    @property
    def picture_shape(self) -> tuple[int, int, int]:
        """(H, W, C) of the pictures of a batch."""
        assert self._image.height is not None
        assert self._image.width is not None
        return self._image.height, self._image.width, self._channels

    def dataset(self, first_step: int, replicas: ReplicaSlice, steps: int | None = None) -> Any:
        """Batches from step `first_step` of the run on, one after another for each replica.

        Args:
          first_step: counted over passes; the pass is first_step // steps_per_pass.
          replicas: the replicas to feed.
          steps: how many; None = without end.
        """
        first_pass, offset = divmod(first_step, self.steps_per_pass)
        elements = self.steps_per_pass * replicas.count
        no_end = np.iinfo(np.int64).max
        passes = tf.data.Dataset.range(first_pass, no_end)
        triplets, votes = tf.constant(self._triplets), tf.constant(self.votes)

        def one_pass(pass_number: Any, table: Any, order: Any) -> Any:
            start = tf.where(pass_number == first_pass, offset * replicas.count, 0)

            def batch(element: Any) -> dict[str, Any]:
                size = self.batch_size // replicas.total
                positions, weight, share, row = tf.numpy_function(
                    self._rows(replicas),
                    [element],
                    [tf.int64, tf.float32, tf.float32, tf.int32],
                )
                for tensor in (positions, weight, share, row):
                    tensor.set_shape([size])
                record = tf.gather(order, positions)
                return {
                    "image": self._gather(table, tf.gather(triplets, record)),
                    "votes": tf.gather(votes, record),
                    "weight": weight,
                    "share": share,
                    "row": row,
                    "record": record,
                }

            numbers = tf.data.Dataset.range(tf.cast(start, tf.int64), elements)
            return numbers.map(batch, num_parallel_calls=2, deterministic=True)

        if self._variants > 1:
            # prefetch(1): the next pass's table is made while this one is in use.
            tables = passes.map(lambda p: (p, self._build(p), self._order(p))).prefetch(1)
            batches = tables.flat_map(one_pass)
        elif self._training:
            # Built once, by the one iterator that training has, and never copied.
            only = tf.data.Dataset.from_tensors(0).map(
                lambda _: self._build(tf.constant(0, tf.int64))
            )
            batches = only.flat_map(
                lambda *table: passes.flat_map(lambda p: one_pass(p, table, self._order(p)))
            )
        else:
            kept = self._only_table()
            batches = passes.flat_map(lambda p: one_pass(p, kept, self._order(p)))
        if steps is not None:
            batches = batches.take(steps * replicas.count)
        return batches.prefetch(4)

    def pictures(self, records: list[int]) -> list[Any]:
        """uint8[3,H,W,C] of triplets in stored order, variant 0."""
        return [
            np.stack([self._picture(int(rank), lambda _: 0) for rank in self._triplets[record]])
            for record in records
        ]

    def first_pictures(self, rows: int) -> Any:
        """uint8[rows,3,H,W,C]: the first rows of the first pass, in the variants it reads."""
        order = triplet_order(self._seed, 0, self.records) if self._training else np.arange(rows)

        def variant(shard: int) -> int:
            return variant_of(0, shard, self._variants)

        ranks = self._triplets[order[:rows]]
        return np.stack([[self._picture(int(rank), variant) for rank in row] for row in ranks])

    def _picture(self, rank: int, variant: Callable[[int], int]) -> Any:
        """uint8[H,W,C] by rank, read by itself: a table takes long and much memory to build."""
        shard, record = self._stored.place(rank)
        payload = self._stored.payload(variant(shard), shard, record)
        features = tf.io.parse_single_example(payload, FEATURES)
        return decode(features, self._image, self._channels).numpy()

    def _load_triplets(self, files: list[str], keys: Any) -> None:
        features = {name: [] for name in _TRIPLET_FEATURES}  # type: dict[str, list[Any]]
        buffer = storage.stream_bytes(files[0])
        batches = tf.data.TFRecordDataset(files, buffer_size=buffer).batch(4096)
        try:
            for batch in batches.map(lambda b: tf.io.parse_example(b, _TRIPLET_FEATURES)):
                for name, values in batch.items():
                    features[name].append(values.numpy())
        except tf.errors.OpError as error:
            raise DataError(
                f"a triplet shard is damaged ({error.message.splitlines()[0]}); "
                "run `python -m preprocess verify`"
            ) from None
        joined = {name: np.concatenate(values) for name, values in features.items()}
        images = joined[TripletKey.IMAGES]
        ranks = np.searchsorted(keys, images)
        if not np.array_equal(keys[np.minimum(ranks, len(keys) - 1)], images):
            raise DataError("a triplet names a picture that is not in the dataset; run verify")
        self._triplets = ranks.astype(np.int32)
        self.votes = joined[TripletKey.VOTES]
        self.types = [t.decode("utf-8") for t in joined[TripletKey.TYPE]]
        self.rows = joined[TripletKey.ROW]

    def _choose_table(
        self, wanted: str, name: str, stored_bytes: int, reserved_bytes: int
    ) -> tuple[str, int]:
        """The kind of the table, and the bytes it takes; raises ConfigError where none fits."""
        if self._image.height is None or self._image.width is None:
            raise ConfigError(
                "the pictures have different sizes, a table of them needs one: "
                "build the dataset with --image_size"
            )
        height, width, channels = self.picture_shape
        at_once = TABLES_AT_ONCE[self._variants > 1]
        decoded_bytes = self.pictures_in_table * height * width * channels
        needed = {
            "decoded": int(decoded_bytes * at_once),
            "encoded": int(stored_bytes * at_once),
        }
        free = int(available_bytes() * MEMORY_SHARE) - reserved_bytes
        for table in needed if wanted == "auto" else (wanted,):
            if needed[table] <= free:
                return table, needed[table]
        if table == "decoded" and needed["encoded"] <= free:
            remedy = "set data.image_table=encoded"
        else:
            remedy = "take more memory, or build the dataset with a smaller --image_size"
        raise ConfigError(
            f"data.image_table={table} needs {needed[table]:,} bytes of memory for split '{name}', "
            f"{max(free, 0):,} are to be had; {remedy}"
        )

    def _rows(self, replicas: ReplicaSlice) -> Callable[[Any], tuple[Any, ...]]:
        def rows(element: Any) -> tuple[Any, ...]:
            step, local = divmod(int(element), replicas.count)
            found = batch_rows(
                step, replicas.first + local, replicas.total, self.records, self.batch_size
            )
            return found.positions, found.weight, found.share, found.rows

        return rows

    def _order(self, pass_number: Any) -> Any:
        def order(number: Any) -> Any:
            if not self._training:
                return np.arange(self.records, dtype=np.int64)
            return triplet_order(self._seed, int(number), self.records)

        found = tf.numpy_function(order, [pass_number], tf.int64)
        found.set_shape([self.records])
        return found

    def _only_table(self) -> Any:
        """The table of variant 0, built once and kept.

        In variables: a tensor would be copied into the dataset's graph by every iterator, which
        takes as long as building it.
        """
        if self._kept is None:
            with tf.init_scope(), tf.device("CPU:0"):
                tables = tf.data.Dataset.from_tensors(0).map(
                    lambda _: self._build(tf.constant(0, tf.int64))
                )
                self._kept = tuple(
                    tf.Variable(part, trainable=False) for part in next(iter(tables))
                )
        return self._kept

    def _build(self, pass_number: Any) -> Any:
        """uint8[N,H,W,C] or string[N]: the pictures of a pass, by rank of their keys.

        Made inside a dataset's function, where map and batch are fused and the decoder writes
        straight into the table: 1.06 tables of memory at the peak; eager code would take two.
        """
        variants, shards = len(self._files), len(self._files[0])
        numbers = tf.range(shards, dtype=tf.int64)
        chosen = variant_of(pass_number, numbers, variants)
        files = tf.gather_nd(tf.constant(self._files), tf.stack([chosen, numbers], 1))
        buffer = storage.stream_bytes(self.directory)
        records = tf.data.Dataset.from_tensor_slices(files).interleave(
            lambda file: tf.data.TFRecordDataset(file, buffer_size=buffer),
            cycle_length=4,
            block_length=16,
            num_parallel_calls=2,
            deterministic=False,
        )

        def parse(payload: Any) -> tuple[Any, Any]:
            features = tf.io.parse_single_example(payload, FEATURES)
            if self.table == "encoded":
                return features[ImageKey.KEY], features[ImageKey.ENCODED]
            return features[ImageKey.KEY], decode(features, self._image, self._channels)

        # A number, not AUTOTUNE: that would start with one call and the table is soon built.
        calls = CALLS_A_CORE * len(os.sched_getaffinity(0))
        everything = records.map(parse, num_parallel_calls=calls, deterministic=False).batch(
            self.pictures_in_table, drop_remainder=True
        )
        keys, table = everything.get_single_element()
        # Rows lie as they were read; a place in the sorted keys leads to the row.
        return tf.argsort(keys), table

    def _gather(self, table: Any, ranks: Any) -> Any:
        """uint8[b,3,H,W,C] of picture ranks int32[b,3]."""
        position, rows = table
        found = tf.gather(rows, tf.gather(position, ranks))
        if self.table == "decoded":
            return found
        flat = tf.map_fn(
            self._decode_one,
            tf.reshape(found, [-1]),
            fn_output_signature=tf.TensorSpec(self.picture_shape, tf.uint8),
        )
        return tf.reshape(flat, [-1, 3, *self.picture_shape])

    def _decode_one(self, encoded: Any) -> Any:
        height, width, channels = self.picture_shape
        features = {
            ImageKey.ENCODED: encoded,
            ImageKey.HEIGHT: height,
            ImageKey.WIDTH: width,
            ImageKey.CHANNELS: self._image.channels or channels,
        }
        return decode(features, self._image, self._channels)
