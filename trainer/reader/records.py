"""Records of a shard by number, through the index beside it."""

from __future__ import annotations

import functools
import mmap
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from preprocess.dataset_format import Shard, index_file
from trainer.checksum import masked_crc
from trainer.errors import DataError

_HEADER_BYTES, _FOOTER_BYTES = 12, 4
OPEN_SHARDS = 128  # mapped at a time; a group of shards in one variant each needs far fewer


def read_index(dataset: str, shard: Shard) -> NDArray[np.int64]:
    """int64[records, 3]: key, offset, length. Raises DataError where it does not fit the shard."""
    path = os.path.join(dataset, index_file(shard.file))
    try:
        text = Path(path).read_text(encoding="ascii")
        table = np.array(text.split(), np.int64).reshape(-1, 3)
    except (OSError, ValueError) as error:
        raise DataError(f"cannot read '{path}': {error}") from None
    if len(table) != shard.records:
        raise DataError(f"'{path}' has {len(table)} records, the manifest says {shard.records}")
    return table


def check_shards(dataset: str, shards: Iterable[Shard]) -> None:
    """Raises DataError where a shard is missing or has not the size that the manifest says.

    Looked at before anything else: this way a training does not end with it hours later.
    """
    for shard in shards:
        path = os.path.join(dataset, shard.file)
        try:
            size = os.stat(path).st_size
        except OSError as error:
            raise DataError(f"cannot read '{path}': {error.strerror}") from None
        if size != shard.bytes:
            raise DataError(
                f"'{path}' has {size} bytes, the manifest says {shard.bytes}; "
                "run `python -m preprocess verify`"
            )


class ShardRecords:
    """One shard, mapped into memory: what is read is cached by the system, not by us."""

    def __init__(self, dataset: str, shard: Shard) -> None:
        self._file = shard.file
        self._index = read_index(dataset, shard)
        path = os.path.join(dataset, shard.file)
        try:
            check_shards(dataset, [shard])  # a mapping that is too short would end the process
            with open(path, "rb") as file:
                self._bytes = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except OSError as error:
            raise DataError(f"cannot read '{path}': {error.strerror}") from None

    def payload(self, record: int) -> bytes:
        """The serialised example of a record; raises DataError where its checksum is wrong."""
        _, offset, length = self._index[record]
        start, end = offset + _HEADER_BYTES, offset + length - _FOOTER_BYTES
        payload = self._bytes[start:end]
        if self._bytes[end : end + _FOOTER_BYTES] != masked_crc(payload):
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

    def payload(self, variant: int, shard: int, record: int) -> bytes:
        """A serialised example; raises DataError where it is damaged."""
        return self._open(variant, shard).payload(record)

    def number(self, shards: NDArray[np.int64], records: NDArray[np.int64]) -> NDArray[np.int64]:
        """The number in stored order, int64[n], of records of shards."""
        numbers: NDArray[np.int64] = self._starts[shards] + records
        return numbers

    def place(self, number: int) -> tuple[int, int]:
        """The inverse of number(): (shard, record in it)."""
        shard = int(np.searchsorted(self._starts, number, side="right")) - 1
        return shard, number - int(self._starts[shard])

    def _open_shard(self, variant: int, shard: int) -> ShardRecords:
        return ShardRecords(self._dataset, self._shards[variant][shard])
