"""The records of a classifier's batches, and their bytes."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from preprocess.dataset_format import variant_of
from preprocess.shell.errors import UserError
from trainer.data.order import PictureOrder, ReplicaSlice, element_rows
from trainer.data.records import StoredPictures


class Plan(NamedTuple):
    """The locations of the b records of one batch, and its other tensors.

    files: b paths. spans: int64[b, 2], offset and length of the framed record. The others are those
    of a batch.
    """

    files: list[str]
    spans: NDArray[np.int64]
    record: NDArray[np.int64]
    weight: NDArray[np.float32]
    share: NDArray[np.float32]
    row: NDArray[np.int32]


class Payloads:
    """Records by batch number, counted over passes and over the replicas fed in turn.

    Attributes:
      error: the error of a failed read, which TensorFlow would not report in full.
    """

    def __init__(
        self,
        stored: StoredPictures,
        order: PictureOrder,
        *,
        variants: int,
        batch_size: int,
        parallel_reads: int,
    ) -> None:
        """Args:
        stored: the records.
        order: of a pass.
        variants: number in use.
        batch_size: of the global batch.
        parallel_reads: number of batches that are read at a time.
        """
        self._stored, self._order, self._variants = stored, order, variants
        self._batch_size, self._parallel_reads = batch_size, parallel_reads
        self._entered: tuple[tuple[int, int], ...] = ()
        self.error: Exception | None = None

    def begin(self) -> None:
        """A pipeline starts, at any step: its shards have to be announced again."""
        self._entered = ()

    def expect(self, element: int, replicas: ReplicaSlice) -> None:
        """Announces the next shards to the storage, once for each group of them.

        Several batches are read at a time, so groups may be announced twice at a border.
        """
        pass_number, rows = element_rows(element, replicas, self._order.records, self._batch_size)
        group = (pass_number, self._order.group_at(pass_number, int(rows.positions[0])))
        if group in self._entered:
            return
        self._entered = (group, *self._entered)[: self._parallel_reads]
        self._stored.expect(
            [
                (variant_of(its_pass, shard, self._variants), shard)
                for its_pass, shards in self._order.groups_around(*group)
                for shard in shards
            ]
        )

    def rows(self, element: int, replicas: ReplicaSlice) -> tuple[np.ndarray, ...]:
        """(record, weight, share, row) of a batch of b, [b] each; see the package's docstring."""
        pass_number, rows = element_rows(element, replicas, self._order.records, self._batch_size)
        number = self._stored.number(*self._order.places(pass_number, rows.positions))
        return number, rows.weight, rows.share, rows.rows

    def read(self, element: int, replicas: ReplicaSlice) -> tuple[np.ndarray, ...]:
        """(serialised records, record, weight, share, row) of a batch of b, [b] each.

        Raises:
          DataError: a record is damaged.
        """
        pass_number, rows = element_rows(element, replicas, self._order.records, self._batch_size)
        try:
            self.expect(element, replicas)
            payloads, record = self.at(pass_number, rows.positions)
        except UserError as error:
            self.error = error
            raise
        return np.array(payloads, object), record, rows.weight, rows.share, rows.rows

    def at(
        self, pass_number: int, positions: NDArray[np.int64]
    ) -> tuple[list[bytes], NDArray[np.int64]]:
        """(serialised records, their numbers in stored order) at positions int64[n] of a pass."""
        shards, records = self._order.places(pass_number, positions)
        payloads = []
        for shard, record in zip(shards.tolist(), records.tolist(), strict=True):
            variant = variant_of(pass_number, shard, self._variants)
            payloads.append(self._stored.payload(variant, shard, record))
        return payloads, self._stored.number(shards, records)

    def plan(self, element: int, replicas: ReplicaSlice) -> Plan:
        """The locations of a batch's records, for another machine to read them."""
        pass_number, rows = element_rows(element, replicas, self._order.records, self._batch_size)
        shards, records = self._order.places(pass_number, rows.positions)
        files, spans = [], []
        for shard, record in zip(shards.tolist(), records.tolist(), strict=True):
            variant = variant_of(pass_number, shard, self._variants)
            file, index = self._stored.location(variant, shard)
            files.append(file)
            spans.append(index[record, 1:])
        number = self._stored.number(shards, records)
        return Plan(files, np.stack(spans), number, rows.weight, rows.share, rows.rows)
