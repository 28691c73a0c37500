"""Pictures for classifiers: streamed, one read per record and pass, or gathered from a table.

The location of each record is computed (`trainer.data.order`), so a reader takes only its own
records from the shards, starts anywhere, and any number of readers gives the same batches.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from preprocess.dataset_format import Manifest
from preprocess.shell.errors import DataError
from trainer.config.keys import Config
from trainer.data.cuts import Cut, batch_cut, gather_cuts, stream_cuts, table_cuts
from trainer.data.decoding import RECORDS_TO_PIXELS, Decoder, parse
from trainer.data.live import live_variants
from trainer.data.order import PictureOrder, ReplicaSlice, steps_per_pass
from trainer.data.payloads import Payloads
from trainer.data.record_ids import picture_ids
from trainer.data.records import StoredPictures, check_shards
from trainer.data.rows import Tensors, from_python, row_specs
from trainer.data.shaping import side_of_mixed
from trainer.data.shares import SetRows
from trainer.data.table import PictureTable, Table
from trainer.data.table_memory import TableMemory
from trainer.data.targets import targets_of
from trainer.data.variants import StoredVariants, VariantShards
from trainer.monitoring.stages import HOST_MAP, STORAGE


class PictureReader:
    """The pictures of one split.

    Attributes:
      records: number of pictures in the split and in a pass.
      pictures_a_record: 1.
      id_columns: what ids() has of a record.
      steps_per_pass: steps that see every picture once.
      batch_size: of the global batch.
      table: "decoded" or "encoded", what is kept in memory; "" = pictures are streamed.
      table_bytes: peak memory of its tables.
      pictures_in_table: 0 without a table.
      redecodes: whether a table of decoded pictures would avoid decoding pictures repeatedly.
      directory: the dataset directory.
      live: its live variants, if the training reads those.
    """

    pictures_a_record = 1
    id_columns = ("id",)

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
        self._targets = targets_of(manifest)
        self._parallel_reads = config.data.parallel_reads
        if not split.images:
            raise DataError(f"split '{name}' of '{dataset}' has no pictures")
        variants = config.data.stored_variants(split.variants) if training else 1
        self.live = live_variants(dataset, manifest, name, config.data) if training else None
        shards: VariantShards = self.live or [
            split.image_shards(variant) for variant in range(variants)
        ]
        check_shards(dataset, itertools.chain(*shards))
        self._as_they_came = shards[0]
        self._stored = StoredPictures(
            dataset,
            shards,
            self._parallel_reads,
            encoded=manifest.image.has_files,
            ascending=self.live is not None,
        )
        first = shards[0]
        order = PictureOrder(
            [shard.records for shard in first],
            [shard.bytes for shard in first],
            seed=config.seed,
            group_bytes=config.data.shuffle_megabytes << 20,
            shuffle=training,
        )
        self._payloads = Payloads(
            self._stored,
            order,
            variants=self.live or StoredVariants(variants),
            batch_size=config.batch_size,
            parallel_reads=self._parallel_reads,
            of_set=of_set,
        )
        mixed = manifest.image.height is None or manifest.image.width is None
        # Pictures of different sizes cannot share a batch: they are resized to one size here.
        side = side_of_mixed(config) if mixed else 0
        streamed = config.data.image_table == "auto"
        self._decoder = Decoder(
            manifest.image, config.model.channels, side, looked_at=streamed, targets=self._targets
        )
        self.batch_size = config.batch_size
        self.records = order.records
        self.steps_per_pass = steps_per_pass(self.records, self.batch_size)
        self.directory = dataset
        self._table: PictureTable | None = None
        self.table, self.table_bytes, self.pictures_in_table = "", 0, 0
        if not streamed:
            self._table = PictureTable(
                dataset,
                shards,
                self._decoder,
                split=name,
                training=training,
                config=config.data,
                memory=(memory or TableMemory()).limit("stream them with data.image_table=auto"),
            )
            self.table, self.table_bytes = self._table.kind, self._table.bytes
            self.pictures_in_table = self._table.pictures
        # With several variants a pass uses another one of each picture, and decodes it once.
        changes = variants > 1 or self.live is not None
        self.redecodes = not changes and self.table != "decoded"

    @property
    def error(self) -> Exception | None:
        """The error of a failed read, which TensorFlow would not report in full."""
        return self._payloads.error

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
        if self._table:
            batches = self._gathered(first_step, replicas, self._of_rows)
            return batches if steps is None else batches.take(steps * replicas.count)
        a_step = 1 if self._of_set else replicas.count
        last = np.iinfo(np.int64).max if steps is None else (first_step + steps) * a_step
        numbers = tf.data.Dataset.range(first_step * a_step, last)
        return self._streamed(numbers, replicas, self._of_payloads)

    def cuts(self, replicas: ReplicaSlice) -> tuple[Cut, ...]:
        """The pipeline of dataset() cut after each stage; the last cut is all of it."""
        a_step = self.batch_size * replicas.count / replicas.total
        if self._table:
            return (
                *table_cuts(self._table, self.steps_per_pass),
                *gather_cuts(
                    self._table,
                    lambda make, part: self._gathered(0, replicas, make, part),
                    self._of_rows,
                    a_step,
                ),
            )
        numbers = tf.data.Dataset.range(np.iinfo(np.int64).max)
        return (
            *stream_cuts(
                self._decoder, lambda make: self._streamed(numbers, replicas, make), a_step
            ),
            batch_cut("host_map", lambda: self.dataset(0, replicas), a_step),
        )

    def _streamed(
        self, numbers: tf.data.Dataset, replicas: ReplicaSlice, make: Callable[[Tensors], tf.Tensor]
    ) -> tf.data.Dataset:
        """`make` of each batch as it is read, with its `payload` string[b]."""
        self._payloads.begin()
        size = None if self._of_set else self.batch_size // replicas.total
        specs = {"payload": tf.TensorSpec([size], tf.string), **row_specs(size)}
        options = tf.data.Options()
        options.autotune.ram_budget = 1 << 30
        # A separate pool: a waiting read blocks its thread, and TensorFlow has one thread a core.
        cores = len(os.sched_getaffinity(0))
        options.threading.private_threadpool_size = cores + self._parallel_reads
        return (
            numbers.map(
                lambda number: from_python(
                    STORAGE, lambda n: self._payloads.read(n, replicas), number, specs
                ),
                num_parallel_calls=self._parallel_reads,
                deterministic=True,
                name=STORAGE,
            )
            .map(
                make,
                num_parallel_calls=tf.data.AUTOTUNE,
                deterministic=True,
                name=RECORDS_TO_PIXELS,
            )
            .prefetch(tf.data.AUTOTUNE)
            .with_options(options)
        )

    def _of_payloads(self, batch: Tensors) -> Tensors:
        image, *targets = self._decode(batch.pop("payload"))
        return {**batch, "image": image, **dict(zip(self._targets.specs(0), targets, strict=True))}

    def _gathered(
        self,
        first_step: int,
        replicas: ReplicaSlice,
        make: Callable[[Tensors, Tensors], tf.Tensor],
        part: int | None = None,
    ) -> tf.data.Dataset:
        """`make` of each batch's rows of the table and its bookkeeping."""
        table, of_set = self._table, self._of_set
        assert table
        if of_set:
            any_size = row_specs(None)

            def piece(step: tf.Tensor, of_pass: tf.Tensor, pictures: Table) -> tf.Tensor:
                rows = from_python(
                    HOST_MAP,
                    lambda s, p: self._payloads.rows_of_pass(s, p, replicas),
                    [step, of_pass],
                    any_size,
                )
                return make(table.gather(pictures, rows["record"]), rows)

            return table.pieces(first_step, of_set, self.records, piece)
        specs = row_specs(self.batch_size // replicas.total)

        def batch(number: tf.Tensor, pictures: Table) -> tf.Tensor:
            rows = from_python(HOST_MAP, lambda n: self._payloads.rows(n, replicas), number, specs)
            return make(table.gather(pictures, rows["record"]), rows)

        return table.batches(first_step, replicas, self.steps_per_pass, batch, part=part)

    def _of_rows(self, found: Tensors, rows: Tensors) -> Tensors:
        assert self._table
        targets = {name: found[name] for name in self._targets.specs(0)}
        return {**rows, "image": self._table.pixels(found), **targets}

    def damage(self) -> DataError | None:
        """Describes the first damaged picture record; None if all are intact."""
        return self._stored.damage()

    def ids(self) -> list[tuple[str, ...]]:
        """The id of every picture, in stored order; reads the split."""
        return [(name,) for name in picture_ids(self.directory, self._as_they_came)]

    def pictures(self, records: list[int]) -> list[NDArray[np.uint8]]:
        """uint8[H,W,C] of records in stored order, variant 0."""
        places = [self._stored.place(record) for record in records]
        return [self._decoder.payload(self._stored.payload(0, *place)) for place in places]

    def first_pictures(self, rows: int) -> NDArray[np.uint8]:
        """uint8[rows,H,W,C]: the first rows of the first pass, in the variants it reads."""
        payloads, _ = self._payloads.at(0, np.arange(min(rows, self.records)))
        return np.stack([self._decoder.payload(payload) for payload in payloads])

    def _decode(self, payloads: tf.Tensor) -> tuple[tf.Tensor, ...]:
        """(uint8[b,H,W,C], the other targets of the records) of string[b]."""
        features = parse(payloads, self._targets.features)
        targets = self._targets.tensors(features)
        return self._decoder.batch(features), *(targets[name] for name in self._targets.specs(0))
