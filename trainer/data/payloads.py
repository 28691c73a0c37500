"""The records of a classifier's batches, and their bytes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from preprocess.shell.errors import UserError
from trainer.data.order import BatchRows, PictureOrder, ReplicaSlice, element_rows
from trainer.data.records import StoredPictures
from trainer.data.shares import SetRows
from trainer.data.variants import Variants


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
        variants: Variants,
        batch_size: int,
        parallel_reads: int,
        of_set: SetRows | None = None,
    ) -> None:
        """Args:
        stored: the records.
        order: of a pass.
        variants: which of them a pass reads.
        batch_size: of the global batch.
        parallel_reads: number of batches that are read at a time.
        of_set: the rows that these records have in batches of several sets. A batch then is what a
          step has of them, for all replicas that are fed.
        """
        self._stored, self._order, self._variants = stored, order, variants
        self._batch_size, self._parallel_reads = batch_size, parallel_reads
        self._of_set = of_set
        self._entered: tuple[tuple[int, int], ...] = ()
        self.error: Exception | None = None

    def begin(self) -> None:
        """A pipeline starts, at any step: its shards have to be announced again."""
        self._entered = ()

    def expect(self, element: int, replicas: ReplicaSlice) -> None:
        """Announces the next shards to the storage, once for each group of them.

        Several batches are read at a time, so groups may be announced twice at a border.
        """
        pass_number, rows = self._pieces(element, replicas)[0]
        if not len(rows.positions):
            return
        group = (pass_number, self._order.group_at(pass_number, int(rows.positions[0])))
        if group in self._entered:
            return
        self._entered = (group, *self._entered)[: self._parallel_reads]
        self._stored.expect(
            [
                (self._variants.of(its_pass, shard), shard)
                for its_pass, shards in self._order.groups_around(*group)
                if self._variants.known(its_pass)
                for shard in shards
            ]
        )

    def rows(self, element: int, replicas: ReplicaSlice) -> tuple[np.ndarray, ...]:
        """(record, weight, share, row) of a batch of b, [b] each; see the package's docstring."""
        pass_number, rows = element_rows(element, replicas, self._order.records, self._batch_size)
        return self._rows_of(pass_number, rows)

    def rows_of_pass(
        self, step: int, of_pass: int, replicas: ReplicaSlice
    ) -> tuple[np.ndarray, ...]:
        """The same of a step's records of one pass, in batches of several sets."""
        assert self._of_set
        return self._rows_of(
            of_pass, self._of_set.piece(step, replicas, self._order.records, of_pass)
        )

    def _rows_of(self, pass_number: int, rows: BatchRows) -> tuple[np.ndarray, ...]:
        number = self._stored.number(*self._order.places(pass_number, rows.positions))
        return number, rows.weight, rows.share, rows.rows

    def _pieces(self, element: int, replicas: ReplicaSlice) -> list[tuple[int, BatchRows]]:
        """(pass, rows) of a batch; several only in batches of several sets."""
        records = self._order.records
        if self._of_set:
            return self._of_set.pieces(element, replicas, records)
        return [element_rows(element, replicas, records, self._batch_size)]

    def read(self, element: int, replicas: ReplicaSlice) -> tuple[np.ndarray, ...]:
        """(serialised records, record, weight, share, row) of a batch of b, [b] each.

        Raises:
          DataError: a record is damaged.
        """
        pieces = self._pieces(element, replicas)
        try:
            self.expect(element, replicas)
            read = [self.at(pass_number, rows.positions) for pass_number, rows in pieces]
        except UserError as error:
            self.error = error
            raise
        payloads = [payload for part, _ in read for payload in part]
        parts = [
            (record, rows.weight, rows.share, rows.rows)
            for (_, record), (_, rows) in zip(read, pieces, strict=True)
        ]
        columns = parts[0] if len(parts) == 1 else map(np.concatenate, zip(*parts, strict=True))
        return np.array(payloads, object), *columns

    def at(
        self, pass_number: int, positions: NDArray[np.int64]
    ) -> tuple[list[bytes], NDArray[np.int64]]:
        """(serialised records, their numbers in stored order) at positions int64[n] of a pass."""
        shards, records = self._order.places(pass_number, positions)
        payloads = []
        for shard, record in zip(shards.tolist(), records.tolist(), strict=True):
            variant = self._variants.of(pass_number, shard)
            payloads.append(self._stored.payload(variant, shard, record))
        return payloads, self._stored.number(shards, records)
