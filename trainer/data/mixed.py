"""A reader of several training sets: each batch has rows of all of them, in their shares.

Each set has a reader of its own, which goes through its own passes; shares.py says whose turn a row
is. A record's number counts on from the records of the sets before.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from preprocess.shell.errors import DataError
from trainer.data.cuts import Cut
from trainer.data.live import LiveVariants
from trainer.data.order import ReplicaSlice
from trainer.data.pictures import PictureReader
from trainer.data.rows import Tensors
from trainer.data.shares import Shares
from trainer.data.triplets import TripletReader


class MixedReader:
    """The training splits of several sets.

    Attributes:
      readers: of each set.
      shares: of the sets.
      records: number in all sets together.
      steps_per_pass: steps that see every record of the first set.
      table, table_bytes, pictures_in_table: what is kept in memory, see PictureReader; of all sets.
      redecodes: whether that is so of any set.
      directory: of the first set.
      live: None; several sets have none.
    """

    live: LiveVariants | None = None

    def __init__(self, readers: Sequence[PictureReader | TripletReader], shares: Shares) -> None:
        first = readers[0]
        self.readers, self.shares = readers, shares
        self.batch_size = first.batch_size
        self.pictures_a_record, self.id_columns = first.pictures_a_record, first.id_columns
        self.records = sum(reader.records for reader in readers)
        self.steps_per_pass = shares.row(0, first.records - 1) // self.batch_size + 1
        self.directory = first.directory
        self.table, self.redecodes = first.table, any(reader.redecodes for reader in readers)
        self.table_bytes = sum(reader.table_bytes for reader in readers)
        self.pictures_in_table = sum(reader.pictures_in_table for reader in readers)
        counts = [reader.records for reader in readers]
        self._starts = [0, *itertools.accumulate(counts[:-1])]

    @property
    def error(self) -> Exception | None:
        """The error of a failed read, which TensorFlow would not report in full."""
        return next((reader.error for reader in self.readers if reader.error), None)

    @property
    def picture_shape(self) -> tuple[int, int, int]:
        """(H, W, C) of the pictures of a batch."""
        return self.readers[0].picture_shape

    def dataset(
        self, first_step: int, replicas: ReplicaSlice, steps: int | None = None
    ) -> tf.data.Dataset:
        """Batches from `first_step` of the run on, one for each replica in turn.

        Args:
          first_step: of the run.
          replicas: the replicas to feed.
          steps: their number; None = endless.
        """
        size = self.batch_size // replicas.total

        def turns(step: tf.Tensor) -> tf.data.Dataset:
            first = step * self.batch_size + replicas.first * size
            rows = tf.range(first, first + replicas.count * size, dtype=tf.int64)
            return tf.data.Dataset.from_tensor_slices(tf.gather(pattern, rows % len(pattern)))

        def numbered(reader: PictureReader | TripletReader, start: int) -> tf.data.Dataset:
            def counted_on(batch: Tensors) -> Tensors:
                return {**batch, "record": batch["record"] + start}

            return reader.dataset(first_step, replicas).map(counted_on).unbatch()

        pattern = self.shares.sets(np.arange(self.shares.length))
        sets = [numbered(*pair) for pair in zip(self.readers, self._starts, strict=True)]
        choices = tf.data.Dataset.range(first_step, np.iinfo(np.int64).max).flat_map(turns)
        rows = tf.data.Dataset.choose_from_datasets(sets, choices, stop_on_empty_dataset=False)
        batches = rows.batch(size, drop_remainder=True).prefetch(2)
        return batches if steps is None else batches.take(steps * replicas.count)

    def cuts(self, replicas: ReplicaSlice) -> tuple[Cut, ...]:
        """Those of the first set's pipeline."""
        return self.readers[0].cuts(replicas)

    def damage(self) -> DataError | None:
        """Describes the first damaged picture record; None if all are intact."""
        return next((found for reader in self.readers if (found := reader.damage())), None)

    def ids(self) -> list[tuple[str, ...]]:
        """The ids of every record, set after set, in stored order; reads the splits."""
        return [ids for reader in self.readers for ids in reader.ids()]

    def pictures(self, records: list[int]) -> list[NDArray[np.uint8]]:
        """Of records in stored order, variant 0; see the sets' readers."""
        found = []
        for record in records:
            number = int(np.searchsorted(self._starts, record, side="right")) - 1
            found += self.readers[number].pictures([record - self._starts[number]])
        return found

    def first_pictures(self, rows: int) -> NDArray[np.uint8]:
        """uint8[rows,...]: the first rows, in the variants that the first pass of a set reads."""
        sets = self.shares.sets(np.arange(rows))
        shape = (3, *self.picture_shape) if self.pictures_a_record == 3 else self.picture_shape
        pictures, missing = np.zeros((rows, *shape), np.uint8), np.zeros(rows, bool)
        for number, reader in enumerate(self.readers):
            mine = np.flatnonzero(sets == number)
            if not len(mine):
                continue
            found = reader.first_pictures(min(len(mine), reader.records))
            pictures[mine[: len(found)]] = found
            missing[mine[len(found) :]] = True  # a set of fewer records than that
        return pictures[~missing]
