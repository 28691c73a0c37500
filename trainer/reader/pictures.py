"""Streaming pictures for classifiers: each record read once a pass, by its place.

Which record stands where is arithmetic (`trainer.order`), so a reader takes only its own
records from the shards, starts anywhere, and any number of readers gives the same batches.
"""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import tensorflow as tf

from preprocess.dataset_format import ImageKey, Manifest, variant_of
from trainer.errors import DataError, UserError
from trainer.order import BatchRows, PictureOrder, ReplicaSlice, batch_rows, steps_per_pass
from trainer.reader.decoding import FEATURES, decode, stretch
from trainer.reader.records import StoredPictures, check_shards
from trainer.reader.service import Plan, ServiceBatches
from trainer.reader.shaping import side_of_mixed


class PictureReader:
    """The pictures of one split.

    Attributes:
      records: pictures in the split, which is also what a pass has.
      pictures_a_record: 1.
      steps_per_pass: steps that see every picture once.
      batch_size: of the global batch.
      directory: the dataset directory.
      error: what a read failed with, where TensorFlow would only say that it did.
    """

    pictures_a_record = 1

    def __init__(
        self, dataset: str, manifest: Manifest, name: str, config: Any, *, training: bool
    ) -> None:
        split = manifest.split(name)
        self._seed = config.seed
        self._service = config.data.service if training else ""
        variants = config.data.variants or split.variants
        self._variants = min(variants, split.variants) if training else 1
        shards = [split.image_shards(variant) for variant in range(self._variants)]
        if not split.images:
            raise DataError(f"split '{name}' of '{dataset}' has no pictures")
        check_shards(dataset, itertools.chain(*shards))
        self._stored = StoredPictures(dataset, shards)
        first = shards[0]
        self._order = PictureOrder(
            [shard.records for shard in first],
            [shard.bytes for shard in first],
            seed=config.seed,
            group_bytes=config.data.shuffle_megabytes << 20,
            shuffle=training,
        )
        self._image = manifest.image
        self._channels = config.model.channels
        mixed = manifest.image.height is None or manifest.image.width is None
        # Pictures of different sizes cannot share a batch: they are brought to one here.
        self._stretch_to = side_of_mixed(config) if mixed else 0
        self.batch_size = config.batch_size
        self.records = self._order.records
        self.steps_per_pass = steps_per_pass(self.records, self.batch_size)
        self.directory = dataset
        self.error: Exception | None = None
        self._entered: tuple[tuple[int, int], tuple[int, int]] = ((-1, -1), (-1, -1))

    @property
    def picture_shape(self) -> tuple[int, int, int]:
        """(H, W, C) of the pictures of a batch."""
        if self._stretch_to:
            return self._stretch_to, self._stretch_to, self._channels
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
        no_end = np.iinfo(np.int64).max
        last = no_end if steps is None else (first_step + steps) * replicas.count
        numbers = tf.data.Dataset.range(first_step * replicas.count, last)
        if self._service:
            return self._from_service(numbers, replicas, last)

        def read(element: Any) -> dict[str, Any]:
            payloads, record, weight, share, row = tf.numpy_function(
                lambda e: self._read(int(e), replicas),
                [element],
                [tf.string, tf.int64, tf.float32, tf.float32, tf.int32],
            )
            size = self.batch_size // replicas.total
            batch = {"weight": weight, "share": share, "row": row, "record": record}
            for tensor in (payloads, *batch.values()):
                tensor.set_shape([size])
            return {"payload": payloads, **batch}

        def decode_batch(batch: dict[str, Any]) -> dict[str, Any]:
            image, label = self._decode(batch.pop("payload"))
            return {**batch, "image": image, "label": label}

        options = tf.data.Options()
        options.autotune.ram_budget = 1 << 30
        return (
            numbers.map(read, num_parallel_calls=2, deterministic=True)
            .map(decode_batch, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
            .prefetch(tf.data.AUTOTUNE)
            .with_options(options)
        )

    def _from_service(self, numbers: Any, replicas: ReplicaSlice, last: int) -> Any:
        """The same batches, read and decoded by a tf.data service."""
        size = self.batch_size // replicas.total
        decode = tf.function(self._decode)

        def here(element: int) -> tuple[Any, ...]:
            payloads, *rest = self._read(element, replicas)
            return (*decode(tf.constant(payloads)), *rest)

        batches = ServiceBatches(
            self._service,
            size,
            lambda element: self._plan(element, replicas),
            self._decode,
            here,
            batch_bytes=size * math.prod(self.picture_shape),
            last=last,
        )
        kinds = {
            "image": tf.uint8,
            "label": tf.int64,
            "record": tf.int64,
            "weight": tf.float32,
            "share": tf.float32,
            "row": tf.int32,
        }

        def batch(element: Any) -> dict[str, Any]:
            parts = tf.numpy_function(
                lambda e: batches.batch(int(e)), [element], list(kinds.values())
            )
            parts[0].set_shape([size, *self.picture_shape])
            for part in parts[1:]:
                part.set_shape([size])
            return dict(zip(kinds, parts, strict=True))

        # One after another: they are waited for here, and worked on elsewhere.
        return numbers.map(batch).prefetch(2)

    def pictures(self, records: list[int]) -> list[Any]:
        """uint8[H,W,C] of records in stored order, variant 0."""
        places = [self._stored.place(record) for record in records]
        return [self._decoded(self._stored.payload(0, *place)) for place in places]

    def first_pictures(self, rows: int) -> Any:
        """uint8[rows,H,W,C]: the first rows of the first pass, in the variants it reads."""
        payloads, _ = self._payloads(0, np.arange(min(rows, self.records)))
        return np.stack([self._decoded(payload) for payload in payloads])

    def _decode(self, payloads: Any) -> tuple[Any, Any]:
        """(uint8[b,H,W,C], int64[b] labels) of string[b]."""
        features = tf.io.parse_example(payloads, FEATURES)
        pixels = tf.TensorSpec(self.picture_shape, tf.uint8)
        image = tf.map_fn(self._pixels, features, fn_output_signature=pixels)
        return image, features[ImageKey.LABEL]

    def _decoded(self, payload: bytes) -> Any:
        return self._pixels(tf.io.parse_single_example(payload, FEATURES)).numpy()

    def _pixels(self, features: dict[str, Any]) -> Any:
        pixels = decode(features, self._image, self._channels)
        return stretch(pixels, self._stretch_to) if self._stretch_to else pixels

    def _rows(self, element: int, replicas: ReplicaSlice) -> tuple[int, BatchRows]:
        """(pass, rows) of a batch."""
        step, local = divmod(element, replicas.count)
        pass_number, step = divmod(step, self.steps_per_pass)
        return pass_number, batch_rows(
            step, replicas.first + local, replicas.total, self.records, self.batch_size
        )

    def _plan(self, element: int, replicas: ReplicaSlice) -> Plan:
        pass_number, rows = self._rows(element, replicas)
        shards, records = self._order.places(pass_number, rows.positions)
        files, spans = [], []
        for shard, record in zip(shards.tolist(), records.tolist(), strict=True):
            variant = variant_of(pass_number, shard, self._variants)
            file, index = self._stored.location(variant, shard)
            files.append(file)
            spans.append(index[record, 1:])
        number = self._stored.number(shards, records)
        return Plan(files, np.stack(spans), number, rows.weight, rows.share, rows.rows)

    def _read(self, element: int, replicas: ReplicaSlice) -> tuple[Any, ...]:
        pass_number, rows = self._rows(element, replicas)
        try:
            self._expect(pass_number, int(rows.positions[0]))
            payloads, record = self._payloads(pass_number, rows.positions)
        except UserError as error:
            self.error = error
            raise
        return np.array(payloads, object), record, rows.weight, rows.share, rows.rows

    def _expect(self, pass_number: int, position: int) -> None:
        """Tells the storage which shards come next, once a group of them.

        Two batches are read at a time, so at a border the group before is asked for once more.
        """
        group = (pass_number, self._order.group_at(pass_number, position))
        if group in self._entered:
            return
        self._entered = (group, self._entered[0])
        self._stored.expect(
            [
                (variant_of(its_pass, shard, self._variants), shard)
                for its_pass, shards in self._order.groups_around(*group)
                for shard in shards
            ]
        )

    def _payloads(self, pass_number: int, positions: Any) -> tuple[list[bytes], Any]:
        shards, records = self._order.places(pass_number, positions)
        payloads = []
        for shard, record in zip(shards.tolist(), records.tolist(), strict=True):
            variant = variant_of(pass_number, shard, self._variants)
            payloads.append(self._stored.payload(variant, shard, record))
        return payloads, self._stored.number(shards, records)
