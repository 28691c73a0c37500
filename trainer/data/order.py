"""The order of a pass: pure integer functions of (seed, pass), independent of the readers.

A *position* counts records within a pass. Step k of a pass has positions [k*B, (k+1)*B) for a
global batch of B; each replica takes its slice of them. As the order is a function and not the
state of an iterator, a run can start at any position at no cost.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]


@dataclasses.dataclass(frozen=True)
class ReplicaSlice:
    """The replicas that an input pipeline feeds: `count` of `total`, from number `first` on."""

    first: int = 0
    count: int = 1
    total: int = 1


@dataclasses.dataclass(frozen=True)
class BatchRows:
    """One replica's rows of one global batch.

    positions: int64[b], in the pass; padding wraps to its start.
    weight: float32[b], 1 for a record, 0 for padding.
    share: float32[b], weight over the number of records in the global batch: its sum over all
      replicas is 1, so sum(share * loss) is the mean over the global batch, however it is divided.
    rows: int32[b], in the global batch.
    """

    positions: Ints
    weight: NDArray[np.float32]
    share: NDArray[np.float32]
    rows: NDArray[np.int32]


def steps_per_pass(records: int, batch_size: int) -> int:
    """Steps that see every record once; the last one is padded."""
    return -(-records // batch_size)


def batch_rows(step: int, replica: int, replicas: int, records: int, batch_size: int) -> BatchRows:
    """Rows of replica `replica` of `replicas` in step `step` (from 0) of a pass."""
    size = batch_size // replicas
    rows = np.arange(replica * size, (replica + 1) * size, dtype=np.int64)
    positions = step * batch_size + rows
    weight = (positions < records).astype(np.float32)
    real = min(batch_size, records - step * batch_size)
    return BatchRows(
        positions=positions % records,
        weight=weight,
        share=weight / np.float32(real),
        rows=rows.astype(np.int32),
    )


def element_rows(
    element: int, replicas: ReplicaSlice, records: int, batch_size: int
) -> tuple[int, BatchRows]:
    """(pass, rows) of element `element` of an input pipeline, counted over passes and over the
    replicas that it feeds in turn.
    """
    step, local = divmod(element, replicas.count)
    pass_number, step = divmod(step, steps_per_pass(records, batch_size))
    return pass_number, batch_rows(
        step, replicas.first + local, replicas.total, records, batch_size
    )


def permutation(seed: int, words: Sequence[int], size: int) -> Ints:
    """A permutation of 0..size-1 keyed by (seed, words): counter-based, no state."""
    entropy = np.random.SeedSequence([seed, *words])
    generator = np.random.Generator(np.random.Philox(entropy))
    return generator.permutation(size)


def triplet_order(seed: int, pass_number: int, triplets: int) -> Ints:
    """The order of triplets in a pass."""
    return permutation(seed, (0, pass_number), triplets)


class PictureOrder:
    """The order of a classification split's records.

    The shards are permuted and divided into groups of about `group_bytes`, and the records of a
    group are permuted: reads stay close to each other, and the shuffle spans many megabytes.

    Attributes:
      records: number of records in a pass.
    """

    def __init__(
        self,
        counts: Sequence[int],
        sizes: Sequence[int],
        *,
        seed: int,
        group_bytes: int,
        shuffle: bool,
    ) -> None:
        """Takes records and bytes of each shard; `shuffle` False = the stored order."""
        self._counts = np.asarray(counts, np.int64)
        self._sizes = np.asarray(sizes, np.int64)
        self._seed = seed
        self._group_bytes = group_bytes
        self._shuffle = shuffle
        self.records = int(self._counts.sum())
        # Caches of a few entries: neighbouring steps need the same group.
        self._groups = functools.lru_cache(maxsize=4)(self._make_groups)
        self._group = functools.lru_cache(maxsize=4)(self._make_group)

    def places(self, pass_number: int, positions: Ints) -> tuple[Ints, Ints]:
        """(shard, record in the shard), int64 each, of positions in a pass."""
        _, starts = self._groups(pass_number)
        groups = np.searchsorted(starts, positions, side="right") - 1
        shards, records = np.empty_like(positions), np.empty_like(positions)
        for group in np.unique(groups):
            mine = groups == group
            of_shard, of_record = self._group(pass_number, int(group))
            offsets = positions[mine] - starts[group]
            shards[mine], records[mine] = of_shard[offsets], of_record[offsets]
        return shards, records

    def group_at(self, pass_number: int, position: int) -> int:
        """The number of the group that holds a position of a pass."""
        _, starts = self._groups(pass_number)
        return int(np.searchsorted(starts, position, side="right")) - 1

    def groups_around(self, pass_number: int, group: int) -> list[tuple[int, list[int]]]:
        """(pass, shards) of a group and of its successor and predecessor, which may be in the next
        or previous pass.
        """
        found = []
        for other in (group, group + 1, group - 1):
            its_pass, at = pass_number, other
            if other < 0:
                its_pass, at = pass_number - 1, -1
            elif other >= len(self._groups(pass_number)[0]):
                its_pass, at = pass_number + 1, 0
            if its_pass >= 0:
                found.append((its_pass, self._groups(its_pass)[0][at].tolist()))
        return found

    def _make_groups(self, pass_number: int) -> tuple[list[Ints], Ints]:
        """The shards of each group, and the position at which each group starts."""
        shards = np.arange(len(self._counts))
        if self._shuffle:
            shards = permutation(self._seed, (1, pass_number), len(shards))
        groups: list[list[int]] = []
        filled = 0
        for shard in shards:
            if not self._counts[shard]:
                continue
            if not groups or filled + self._sizes[shard] > self._group_bytes:
                groups.append([])
                filled = 0
            groups[-1].append(int(shard))
            filled += int(self._sizes[shard])
        members = [np.asarray(group, np.int64) for group in groups]
        lengths = [int(self._counts[group].sum()) for group in members]
        return members, np.concatenate(([0], np.cumsum(lengths)[:-1])).astype(np.int64)

    def _make_group(self, pass_number: int, group: int) -> tuple[Ints, Ints]:
        members = self._groups(pass_number)[0][group]
        counts = self._counts[members]
        shards = np.repeat(members, counts)
        records = np.concatenate([np.arange(count) for count in counts])
        if self._shuffle:
            mixed = permutation(self._seed, (2, pass_number, group), len(shards))
            shards, records = shards[mixed], records[mixed]
        return shards, records
