"""Records of a shard by number, through the index next to it.

In a local shard each record is read separately. At an address (`gs://...`) a request costs the same
for one record as for megabytes, so shards that are streamed from are downloaded as a whole, in
advance, and only single pictures are read by range.
"""

from __future__ import annotations

import functools
import itertools
import os
import threading
import weakref
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from preprocess.dataset_format import Shard, index_file
from preprocess.pictures.refusal import Refused
from preprocess.shell.checksum import masked_crc
from preprocess.shell.errors import DataError
from trainer.data import storage
from trainer.data.picture_record import BadRecordError, parse_picture
from trainer.data.record_limits import check_record
from trainer.data.variants import VariantShards

_HEADER_BYTES, _FOOTER_BYTES = 12, 4
OPEN_SHARDS = 128  # at a time; a group of shards in one variant each needs far fewer


def read_index(dataset: str, shard: Shard) -> NDArray[np.int64]:
    """int64[records, 3]: key, offset, length. Raises DataError if it does not match the shard.

    For a local shard without an index, it is made by reading the shard.
    """
    path = os.path.join(dataset, index_file(shard.file))
    if not storage.is_address(path) and not os.path.lexists(path):
        return _made_index(os.path.join(dataset, shard.file))
    try:
        text = storage.read_bytes(path).decode("ascii")
        table = np.array(text.split(), np.int64).reshape(-1, 3)
    except ValueError as error:
        raise DataError(f"cannot read '{path}': {error}") from None
    if len(table) != shard.records:
        raise DataError(f"'{path}' has {len(table)} records, but the manifest says {shard.records}")
    return table


def _made_index(path: str) -> NDArray[np.int64]:
    rows = []
    for offset, payload in scanned(path):
        try:
            key = parse_picture(payload).key
        except BadRecordError:
            raise _damaged(path, offset) from None
        rows.append((key, offset, _HEADER_BYTES + len(payload) + _FOOTER_BYTES))
    return np.array(rows, np.int64).reshape(-1, 3)


def scanned(path: str) -> Iterator[tuple[int, bytes]]:
    """(offset, payload) of each record of a shard without index, in a file or at an address.

    Raises:
      DataError: the shard is damaged.
    """
    content = storage.read_bytes(path)
    offset = 0
    while offset < len(content):
        header = content[offset : offset + _HEADER_BYTES]
        start = offset + _HEADER_BYTES
        stop = start + int.from_bytes(header[:8], "little")
        payload = content[start:stop]
        footer = content[stop : stop + _FOOTER_BYTES]
        if header[8:] != masked_crc(header[:8]) or footer != masked_crc(payload):
            raise _damaged(path, offset)
        yield offset, payload
        offset = stop + _FOOTER_BYTES


def _damaged(path: str, offset: int) -> DataError:
    return DataError(f"'{path}' is damaged at byte {offset}; run `python -m preprocess verify`")


def check_shards(dataset: str, shards: Iterable[Shard]) -> None:
    """Raises DataError if a shard is missing or its size differs from the manifest's.

    Checked before anything else, so that training does not fail on it hours later.
    """

    def check(shard: Shard) -> None:
        path = os.path.join(dataset, shard.file)
        size = storage.size(path)
        if size != shard.bytes:
            raise DataError(
                f"'{path}' has {size} bytes, but the manifest says {shard.bytes}; "
                "run `python -m preprocess verify`"
            )

    storage.for_each(check, shards, dataset)


class _Range:
    """A file at an address that can be sliced; each slice is a request."""

    def __init__(self, path: str) -> None:
        self._path = path

    def __getitem__(self, part: slice) -> bytes:
        return storage.read_range(self._path, part.start, part.stop)


class _File:
    """A local file that can be sliced; the system caches it, we do not.

    Read instead of memory-mapped: while a read waits for a slow disk or mount, other threads
    continue, but waiting for a mapped page blocks all of Python.
    """

    def __init__(self, path: str) -> None:
        self._path, self._file = path, os.open(path, os.O_RDONLY)
        weakref.finalize(self, os.close, self._file)

    def __getitem__(self, part: slice) -> bytes:
        try:
            return os.pread(self._file, part.stop - part.start, part.start)
        except OSError as error:
            raise storage.problem(self._path, error) from None


class ShardRecords:
    """One shard: read record by record if local; at an address downloaded as a whole, or read by
    ranges.

    With `encoded`, pictures are files, and each is checked before anything decodes it: pictures
    beyond the limits are rejected.

    Attributes:
      index: the result of read_index().
    """

    def __init__(
        self, dataset: str, shard: Shard, whole: bool = True, encoded: bool = False
    ) -> None:
        self.index = read_index(dataset, shard)
        self._looked_at = np.full(len(self.index), not encoded)
        self._path = path = os.path.join(dataset, shard.file)
        self._bytes: bytes | _Range | _File
        if storage.is_address(path):
            self._bytes = storage.read_bytes(path) if whole else _Range(path)
            return
        try:
            self._bytes = _File(path)
        except OSError as error:
            raise storage.problem(path, error) from None

    def payload(self, record: int) -> bytes:
        """The serialised example of a record; raises DataError if its checksum is wrong or its
        picture exceeds the limits.
        """
        _, offset, length = self.index[record].tolist()
        framed = self._bytes[offset + _HEADER_BYTES : offset + length]
        payload, footer = framed[:-_FOOTER_BYTES], framed[-_FOOTER_BYTES:]
        if footer != masked_crc(payload):
            raise _damaged(self._path, offset)
        if not self._looked_at[record]:
            self._look_at(payload, offset)
            self._looked_at[record] = True
        return payload

    def _look_at(self, payload: bytes, offset: int) -> None:
        try:
            check_record(payload)
        except Refused as refused:
            raise DataError(
                f"'{self._path}' has a picture at byte {offset} that exceeds the limits: "
                f"{refused.detail}; run `python -m preprocess verify --deep`"
            ) from None


class StoredPictures:
    """The image records of a split by shard and number, in every variant in use.

    Attributes:
      pictures: their number, of one variant.
    """

    def __init__(
        self,
        dataset: str,
        shards: VariantShards,
        parallel_reads: int = 2,
        *,
        encoded: bool,
        ascending: bool = False,
    ) -> None:
        """Args:
        dataset: the dataset directory, or its address.
        shards: of each variant; every variant has the records in the same order.
        parallel_reads: batches read at a time; half as many shards are downloaded at a time.
        encoded: whether pictures are stored as files rather than pixels: see ShardRecords.
        ascending: whether each pass reads a single variant, a later one each time: the files of the
          others are closed then, so that removing them frees the disk.
        """
        self._newest = -1 if ascending else None
        self._dataset, self._encoded = dataset, encoded
        self._shards = shards
        counts = [shard.records for shard in shards[0]]
        self.pictures = sum(counts)
        self._starts = np.cumsum([0, *counts[:-1]], dtype=np.int64)
        # The cache belongs to this object and is freed with it.
        self._open = functools.lru_cache(maxsize=OPEN_SHARDS)(self._open_shard)
        self._ahead = _Ahead(dataset, shards, 2 * parallel_reads, encoded)

    def payload(self, variant: int, shard: int, record: int) -> bytes:
        """A serialised example; raises DataError if it is damaged."""
        return (self._ahead.get(variant, shard) or self._open(variant, shard)).payload(record)

    def damage(self) -> DataError | None:
        """Describes the first damaged record; None if all are intact."""
        try:
            for shard in itertools.chain(*self._shards):
                records = ShardRecords(self._dataset, shard)
                for record in range(shard.records):
                    records.payload(record)
        except DataError as error:
            return error
        return None

    def expect(self, wanted: Sequence[tuple[int, int]]) -> None:
        """Announces which (variant, shard) are streamed now and next, the most urgent first.

        At an address, they are downloaded in the background and others are dropped; for local files
        the system does the same.
        """
        if storage.is_address(self._dataset):
            self._ahead.expect(wanted)

    def number(self, shards: NDArray[np.int64], records: NDArray[np.int64]) -> NDArray[np.int64]:
        """The number in stored order, int64[n], of records of shards."""
        numbers: NDArray[np.int64] = self._starts[shards] + records
        return numbers

    def place(self, number: int) -> tuple[int, int]:
        """The inverse of number(): (shard, record in the shard)."""
        shard = int(np.searchsorted(self._starts, number, side="right")) - 1
        return shard, number - int(self._starts[shard])

    def places(self, numbers: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """place() of each of int64[n]."""
        shards = np.searchsorted(self._starts, numbers, side="right") - 1
        return shards, numbers - self._starts[shards]

    def location(self, variant: int, shard: int) -> tuple[str, NDArray[np.int64]]:
        """(path of a shard, its index from read_index())."""
        found = self._shards[variant][shard]
        return os.path.join(self._dataset, found.file), self._open(variant, shard).index

    def _open_shard(self, variant: int, shard: int) -> ShardRecords:
        if self._newest is not None and variant > self._newest:
            self._newest = variant
            self._open.cache_clear()
        found = self._shards[variant][shard]
        return ShardRecords(self._dataset, found, whole=False, encoded=self._encoded)


class _Ahead:
    """Whole shards, downloaded in the background and held while they are wanted.

    Attributes:
      fetched: number of shards downloaded.
    """

    def __init__(self, dataset: str, shards: VariantShards, at_once: int, encoded: bool) -> None:
        self._dataset, self._shards, self._at_once = dataset, shards, at_once
        self._encoded = encoded
        self._held: dict[tuple[int, int], Future[ShardRecords]] = {}
        self._wanted: frozenset[tuple[int, int]] = frozenset()
        self._lock = threading.Lock()
        self._pool: ThreadPoolExecutor | None = None
        self.fetched = 0

    def get(self, variant: int, shard: int) -> ShardRecords | None:
        with self._lock:
            found = self._held.get((variant, shard))
        return found.result() if found else None

    def expect(self, wanted: Sequence[tuple[int, int]]) -> None:
        with self._lock:
            self._wanted = frozenset(wanted)
            if self._pool is None:
                self._pool = ThreadPoolExecutor(self._at_once, thread_name_prefix="shards")
            for place in wanted:
                if place not in self._held:
                    self._held[place] = self._pool.submit(self._fetch, *place)
            for place in self._held.keys() - self._wanted:
                if self._held[place].done():  # others may have waiters
                    del self._held[place]

    def _fetch(self, variant: int, shard: int) -> ShardRecords:
        found = ShardRecords(self._dataset, self._shards[variant][shard], encoded=self._encoded)
        with self._lock:
            self.fetched += 1
            if (variant, shard) not in self._wanted:  # it came late: only waiters get it
                self._held.pop((variant, shard), None)
        return found
