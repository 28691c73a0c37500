"""The pictures of a pass in memory: each is read once a pass, and a batch is one gather.

The next pass's table is filled while the current one is in use.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import tensorflow as tf

from preprocess.dataset_format import ImageKey, variant_of
from preprocess.shell.errors import ConfigError
from trainer.config.running_sections import DataConfig
from trainer.data import storage
from trainer.data.decode_limits import within_limits
from trainer.data.decoding import RECORDS_TO_PIXELS, Decoder, parse_one
from trainer.data.live import LiveVariants
from trainer.data.open_input import OpenInput
from trainer.data.order import ReplicaSlice
from trainer.data.rows import Tensors, from_python
from trainer.data.shares import SetRows
from trainer.data.table_memory import MemoryLimit
from trainer.data.variants import VariantShards
from trainer.monitoring.stages import HOST_MAP, STORAGE, TABLE

# Peak memory of a table that is built while another is in use, in units of one table (measured:
# 2.4 to 2.6), and of a single one.
TABLES_AT_ONCE = {True: 2.6, False: 1.3}
CALLS_A_CORE = 2  # parallel decoding calls while a table is built
_LARGEST_ENCODED = 1.6  # bytes a pixel of an encoded variant: PNG of photos

# What an encoded table keeps of a record; both kinds also keep its targets.
_ENCODED = (ImageKey.ENCODED, ImageKey.HEIGHT, ImageKey.WIDTH, ImageKey.CHANNELS)

Table: TypeAlias = "tuple[tf.Tensor, Tensors]"  # (row of each rank, the rows)


class PictureTable:
    """Tables of the pictures of a split, one for each pass if it has several variants.

    A picture's *rank* is the position of its key among the sorted keys, which is its number in
    stored order: keys ascend over the shards in order.

    Attributes:
      kind: "decoded" or "encoded", what is kept in memory.
      pictures: number in a table.
      bytes: peak memory of tables.
      one_a_pass: whether each pass has its own table.
      decoder: turns records into pixels.
    """

    def __init__(
        self,
        dataset: str,
        shards: VariantShards,
        decoder: Decoder,
        *,
        split: str,
        training: bool,
        config: DataConfig,
        memory: MemoryLimit,
    ) -> None:
        """Args:
          dataset: the dataset directory, or its address.
          shards: of each variant, or live ones.
          decoder: turns records into pixels.
          split: the name of the split.
          training: whether there will be one iterator, or several over the same table.
          config: `image_table` "decoded", "encoded", or "auto" for decoded if it fits;
            `parallel_reads`, files read at a time.
          memory: what other tables leave.

        Raises:
          ConfigError: the table does not fit into memory.
        """
        self.decoder = decoder
        self._live = shards if isinstance(shards, LiveVariants) else None
        self.one_a_pass = len(shards) > 1 or self._live is not None
        self.pictures = sum(shard.records for shard in shards[0])
        self._directory, self._training, self._reads = dataset, training, config.parallel_reads
        self._files = [[os.path.join(dataset, s.file) for s in variant] for variant in shards]
        at_once = TABLES_AT_ONCE[self.one_a_pass]
        stored_bytes = max(sum(shard.bytes for shard in variant) for variant in shards)
        height, width, channels = decoder.shape
        if self._live:  # variants to come may be larger than the files as they came
            stored_bytes = max(stored_bytes, int(self.pictures * height * width * _LARGEST_ENCODED))
        needed = {
            "decoded": int(self.pictures * height * width * channels * at_once),
            "encoded": int(stored_bytes * at_once),
        }
        self.kind = _choose(config.image_table, needed, memory, split)
        self.bytes = needed[self.kind]
        self._kept: Table | None = None

    def batches(
        self,
        first_step: int,
        replicas: ReplicaSlice,
        steps_per_pass: int,
        batch: Callable[[tf.Tensor, Table], Tensors],
        *,
        part: int | None = None,
    ) -> tf.data.Dataset:
        """Batches from a step of the run on, one for each replica in turn, endless.

        Args:
          first_step: counted over passes.
          replicas: the replicas to feed.
          steps_per_pass: of the global batch.
          batch: makes a batch from its number, counted over passes and replicas, and a table.
          part: gather all passes from one table of that many pictures, which represent the others.
        """
        first, a_pass = first_step * replicas.count, steps_per_pass * replicas.count

        def one_pass(pass_number: tf.Tensor, table: Table) -> tf.data.Dataset:
            start = tf.maximum(pass_number * a_pass, first)
            numbers = tf.data.Dataset.range(start, (pass_number + 1) * a_pass)
            return _mapped(numbers, lambda number: batch(number, table))

        return self._over_passes(first_step // steps_per_pass, one_pass, part)

    def pieces(
        self,
        first_step: int,
        of_set: SetRows,
        records: int,
        batch: Callable[[tf.Tensor, tf.Tensor, Table], Tensors],
    ) -> tf.data.Dataset:
        """What the steps of the run from one on have of this set's records, endless.

        Args:
          first_step: of the run.
          of_set: the rows of this set.
          records: of a pass.
          batch: makes the rows of a step, from its number, that of a pass, and a table; called
            again for the next pass where a step has records of both.
        """
        span = {name: tf.TensorSpec([], tf.int64) for name in ("first", "end")}

        def steps_of_pass(pass_number: int) -> tuple[np.ndarray, ...]:
            return tuple(map(np.asarray, of_set.steps_of_pass(pass_number, records)))

        def one_pass(pass_number: tf.Tensor, table: Table) -> tf.data.Dataset:
            steps = from_python(HOST_MAP, steps_of_pass, pass_number, span)
            numbers = tf.data.Dataset.range(tf.maximum(steps["first"], first_step), steps["end"])
            return _mapped(numbers, lambda number: batch(number, pass_number, table))

        return self._over_passes(of_set.pass_at(first_step, records), one_pass)

    def _over_passes(
        self,
        first: int,
        one_pass: Callable[[tf.Tensor, Table], tf.data.Dataset],
        part: int | None = None,
    ) -> tf.data.Dataset:
        """`one_pass` of each pass from one of them on, with its table."""
        passes = self.passes(first)
        if self.one_a_pass and part is None:
            # prefetch(1): the next pass's table is filled while this one is in use.
            tables = passes.map(lambda p: (p, self.build(p)), name=TABLE).prefetch(1)
            batches = tables.flat_map(one_pass)
        elif self._training or part is not None:
            # Built once, by training's only iterator, and never copied.
            only = passes.take(1).map(lambda p: self.build(p, part), name=TABLE)
            batches = only.flat_map(lambda *table: passes.flat_map(lambda p: one_pass(p, table)))
        else:
            kept = self._only()
            batches = passes.flat_map(lambda p: one_pass(p, kept))
        batches = batches.prefetch(4)
        if not self._live:
            return batches
        # A separate pool: waiting for a variant blocks a thread, and TensorFlow has one a core.
        options = tf.data.Options()
        options.threading.private_threadpool_size = len(os.sched_getaffinity(0)) + self._reads
        return batches.with_options(options)

    def passes(self, first: int = 0) -> tf.data.Dataset:
        """The numbers of the passes from one of them on, int64 []."""
        return tf.data.Dataset.range(first, np.iinfo(np.int64).max)

    def build(self, pass_number: tf.Tensor, part: int | None = None) -> Table:
        """The table of a pass: its rows in the order they were read, and the row of each rank,
        int32 [pictures]. With `part` pictures, each represents several.

        Made inside a dataset's function, where map and batch are fused and the decoder writes
        directly into the table: 1.06 tables of memory at the peak; eager code would take two.
        """
        targets = self.decoder.targets

        def row(payload: tf.Tensor) -> tuple[tf.Tensor, Tensors]:
            features = parse_one(payload, targets.features if targets else None)
            if self.kind == "encoded":
                kept = {name: features[name] for name in _ENCODED}
                if self.decoder.image.has_files and not self.decoder.looked_at:
                    # Once, and not in each of the batches that it is decoded for.
                    kept[ImageKey.ENCODED] = within_limits(features[ImageKey.ENCODED])
            else:
                kept = {"image": self.decoder(features)}
            return features[ImageKey.KEY], kept | (targets.tensors(features) if targets else {})

        count = min(part or self.pictures, self.pictures)
        with tf.name_scope(TABLE):
            records = self.records(pass_number)
            if count < self.pictures:
                records = records.take(count)
            everything = self.each(records, row).batch(count, drop_remainder=True)
            keys, rows = everything.get_single_element()
            # Rows are in the order they were read; the index maps sorted keys to rows.
            position = tf.argsort(keys)
            if count < self.pictures:
                position = tf.gather(position, tf.range(self.pictures) % count)
        return position, rows

    def records(self, pass_number: tf.Tensor) -> tf.data.Dataset:
        """The serialised records of a pass, in no particular order."""
        variants, shards = len(self._files), len(self._files[0])
        if live := self._live:
            spec = {"files": tf.TensorSpec([shards], tf.string)}
            files = from_python(
                STORAGE, lambda p: (np.array(live.files(p), object),), pass_number, spec
            )["files"]
        else:
            numbers = tf.range(shards, dtype=tf.int64)
            chosen = variant_of(pass_number, numbers, variants)
            files = tf.gather_nd(tf.constant(self._files), tf.stack([chosen, numbers], 1))
        buffer = storage.stream_bytes(self._directory)
        return tf.data.Dataset.from_tensor_slices(files).interleave(
            lambda file: tf.data.TFRecordDataset(file, buffer_size=buffer, name=STORAGE),
            cycle_length=2 * self._reads,
            block_length=16,
            num_parallel_calls=self._reads,
            deterministic=False,
            name=STORAGE,
        )

    def each(
        self, records: tf.data.Dataset, function: Callable[[tf.Tensor], tf.Tensor]
    ) -> tf.data.Dataset:
        """`function` of serialised records, in no particular order."""
        # Not AUTOTUNE: it would start with one call, and the table is soon built.
        calls = CALLS_A_CORE * len(os.sched_getaffinity(0))
        return records.map(
            function, num_parallel_calls=calls, deterministic=False, name=RECORDS_TO_PIXELS
        )

    def gather(self, table: Table, ranks: tf.Tensor) -> Tensors:
        """The rows of pictures int32|int64 [b]: `image` uint8 [b,H,W,C] of a decoded table, the
        features of the records of an encoded one.
        """
        position, rows = table
        places = tf.gather(position, ranks)
        return {name: tf.gather(values, places) for name, values in rows.items()}

    def pixels(self, rows: Tensors) -> tf.Tensor:
        """uint8 [b,H,W,C] of gathered rows."""
        if "image" in rows:
            return rows["image"]
        return dataclasses.replace(self.decoder, looked_at=True).batch(rows)

    def _only(self) -> Table:
        """The table of variant 0, built once and kept.

        Stored in variables: every iterator would copy a tensor into the dataset's graph, which
        takes as long as building it.
        """
        if self._kept is None:
            with tf.init_scope(), tf.device("CPU:0"):
                with OpenInput(self.passes().take(1).map(self.build, name=TABLE)) as tables:
                    table = next(tables)
                self._kept = tf.nest.map_structure(
                    lambda part: tf.Variable(part, trainable=False), table
                )
        return self._kept


def _mapped(numbers: tf.data.Dataset, batch: Callable[[tf.Tensor], Tensors]) -> tf.data.Dataset:
    """A batch of each number, in their order."""

    def gathered(number: tf.Tensor) -> Tensors:
        with tf.name_scope(HOST_MAP):
            return batch(number)

    return numbers.map(gathered, num_parallel_calls=2, deterministic=True, name=HOST_MAP)


def _choose(wanted: str, needed: dict[str, int], memory: MemoryLimit, split: str) -> str:
    """The kind of the table; raises ConfigError if none fits."""
    free, remedy = memory.free_bytes, memory.remedy
    for kind in needed if wanted == "auto" else (wanted,):
        if needed[kind] <= free:
            return kind
    if kind == "decoded" and needed["encoded"] <= free:
        remedy = "set data.image_table=encoded"
    raise ConfigError(
        f"data.image_table={kind} needs {needed[kind]:,} bytes of memory for split '{split}', but "
        f"only {max(free, 0):,} are available; {remedy}"
    )
