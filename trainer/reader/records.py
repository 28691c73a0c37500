"""Records of a shard by number, through the index beside it.

A local shard is mapped into memory. At an address (`gs://...`) a request costs the same for one
record as for megabytes, so there a shard that is streamed from is fetched whole, ahead of its
turn, and only a single picture is read by its range.
"""

from __future__ import annotations

import functools
import mmap
import os
import threading
from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from preprocess.dataset_format import Shard, index_file
from trainer.checksum import masked_crc
from trainer.errors import DataError
from trainer.reader import storage

_HEADER_BYTES, _FOOTER_BYTES = 12, 4
FETCHES_AT_ONCE = 4  # of whole shards at an address
OPEN_SHARDS = 128  # mapped at a time; a group of shards in one variant each needs far fewer


def read_index(dataset: str, shard: Shard) -> NDArray[np.int64]:
    """int64[records, 3]: key, offset, length. Raises DataError where it does not fit the shard."""
    path = os.path.join(dataset, index_file(shard.file))
    try:
        text = storage.read_bytes(path).decode("ascii")
        table = np.array(text.split(), np.int64).reshape(-1, 3)
    except ValueError as error:
        raise DataError(f"cannot read '{path}': {error}") from None
    if len(table) != shard.records:
        raise DataError(f"'{path}' has {len(table)} records, the manifest says {shard.records}")
    return table


def check_shards(dataset: str, shards: Iterable[Shard]) -> None:
    """Raises DataError where a shard is missing or has not the size that the manifest says.

    Looked at before anything else: this way a training does not end with it hours later.
    """

    def check(shard: Shard) -> None:
        path = os.path.join(dataset, shard.file)
        size = storage.size(path)
        if size != shard.bytes:
            raise DataError(
                f"'{path}' has {size} bytes, the manifest says {shard.bytes}; "
                "run `python -m preprocess verify`"
            )

    storage.for_each(check, shards, dataset)


class _Range:
    """A file at an address as something to take slices of, each of them a request."""

    def __init__(self, path: str) -> None:
        self._path = path

    def __getitem__(self, part: slice) -> bytes:
        return storage.read_range(self._path, part.start, part.stop)


class ShardRecords:
    """One shard: mapped into memory, where what is read is cached by the system and not by us;
    at an address held as a whole, or read by ranges.

    Attributes:
      index: what read_index() gives.
    """

    def __init__(self, dataset: str, shard: Shard, whole: bool = True) -> None:
        self._file = shard.file
        self.index = read_index(dataset, shard)
        path = os.path.join(dataset, shard.file)
        self._bytes: mmap.mmap | bytes | _Range
        if storage.is_address(path):
            self._bytes = storage.read_bytes(path) if whole else _Range(path)
            return
        try:
            check_shards(dataset, [shard])  # a mapping that is too short would end the process
            with open(path, "rb") as file:
                self._bytes = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except OSError as error:
            raise DataError(f"cannot read '{path}': {error.strerror}") from None

    def payload(self, record: int) -> bytes:
        """The serialised example of a record; raises DataError where its checksum is wrong."""
        _, offset, length = self.index[record]
        framed = self._bytes[int(offset + _HEADER_BYTES) : int(offset + length)]
        payload, footer = framed[:-_FOOTER_BYTES], framed[-_FOOTER_BYTES:]
        if footer != masked_crc(payload):
            raise DataError(
                f"'{self._file}' is damaged at byte {offset}; run `python -m preprocess verify`"
            )
        return payload


class StoredPictures:
    """The image records of a split, by shard and number, in every variant that is used."""

    def __init__(self, dataset: str, shards: Sequence[Sequence[Shard]]) -> None:
        """Takes the shards of each variant; every variant has the records in the same order."""
        self._dataset = dataset
        self._shards = shards
        counts = [shard.records for shard in shards[0]]
        self._starts = np.cumsum([0, *counts[:-1]], dtype=np.int64)
        # The cache belongs to this object and goes with it.
        self._open = functools.lru_cache(maxsize=OPEN_SHARDS)(self._open_shard)
        self._ahead = _Ahead(dataset, shards)

    def payload(self, variant: int, shard: int, record: int) -> bytes:
        """A serialised example; raises DataError where it is damaged."""
        return (self._ahead.get(variant, shard) or self._open(variant, shard)).payload(record)

    def expect(self, wanted: Sequence[tuple[int, int]]) -> None:
        """Says which (variant, shard) are streamed from now and next, the most urgent first.

        At an address, they are fetched in the background and others are dropped; for local files
        the system does the same.
        """
        if storage.is_address(self._dataset):
            self._ahead.expect(wanted)

    def number(self, shards: NDArray[np.int64], records: NDArray[np.int64]) -> NDArray[np.int64]:
        """The number in stored order, int64[n], of records of shards."""
        numbers: NDArray[np.int64] = self._starts[shards] + records
        return numbers

    def place(self, number: int) -> tuple[int, int]:
        """The inverse of number(): (shard, record in it)."""
        shard = int(np.searchsorted(self._starts, number, side="right")) - 1
        return shard, number - int(self._starts[shard])

    def location(self, variant: int, shard: int) -> tuple[str, NDArray[np.int64]]:
        """(path of a shard, its index as read_index() gives it)."""
        found = self._shards[variant][shard]
        return os.path.join(self._dataset, found.file), self._open(variant, shard).index

    def _open_shard(self, variant: int, shard: int) -> ShardRecords:
        return ShardRecords(self._dataset, self._shards[variant][shard], whole=False)


class _Ahead:
    """Whole shards that are fetched in the background and held until they are not wanted.

    Attributes:
      fetched: shards fetched so far.
    """

    def __init__(self, dataset: str, shards: Sequence[Sequence[Shard]]) -> None:
        self._dataset, self._shards = dataset, shards
        self._held: dict[tuple[int, int], Future[ShardRecords]] = {}
        self._lock = threading.Lock()
        self._pool: ThreadPoolExecutor | None = None
        self.fetched = 0

    def get(self, variant: int, shard: int) -> ShardRecords | None:
        with self._lock:
            found = self._held.get((variant, shard))
        return found.result() if found else None

    def expect(self, wanted: Sequence[tuple[int, int]]) -> None:
        with self._lock:
            if self._pool is None:
                self._pool = ThreadPoolExecutor(FETCHES_AT_ONCE, thread_name_prefix="shards")
            for place in wanted:
                if place not in self._held:
                    self._held[place] = self._pool.submit(self._fetch, *place)
            for place in [place for place in self._held if place not in wanted]:
                if self._held[place].done():  # what is under way may be waited for
                    del self._held[place]

    def _fetch(self, variant: int, shard: int) -> ShardRecords:
        found = ShardRecords(self._dataset, self._shards[variant][shard])
        with self._lock:
            self.fetched += 1
        return found
