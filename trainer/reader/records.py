"""Records of a shard by number, through the index beside it."""

from __future__ import annotations

import mmap
import os
import struct
from pathlib import Path

import google_crc32c
import numpy as np
from numpy.typing import NDArray

from preprocess.dataset_format import Shard, index_file
from trainer.errors import DataError

_HEADER_BYTES, _FOOTER_BYTES = 12, 4
_MASK_DELTA = 0xA282EAD8


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


class ShardRecords:
    """One shard, mapped into memory: what is read is cached by the system, not by us."""

    def __init__(self, dataset: str, shard: Shard) -> None:
        self._file = shard.file
        self._index = read_index(dataset, shard)
        path = os.path.join(dataset, shard.file)
        try:
            with open(path, "rb") as file:
                if os.fstat(file.fileno()).st_size != shard.bytes:
                    raise DataError(f"'{shard.file}' does not have its {shard.bytes} bytes")
                self._bytes = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except OSError as error:
            raise DataError(f"cannot read '{path}': {error.strerror}") from None

    def payload(self, record: int) -> bytes:
        """The serialised example of a record; raises DataError where its checksum is wrong."""
        _, offset, length = self._index[record]
        start, end = offset + _HEADER_BYTES, offset + length - _FOOTER_BYTES
        payload = self._bytes[start:end]
        crc = google_crc32c.value(payload)
        masked = (((crc >> 15) | (crc << 17)) + _MASK_DELTA) & 0xFFFFFFFF
        if self._bytes[end : end + _FOOTER_BYTES] != struct.pack("<I", masked):
            raise DataError(
                f"'{self._file}' is damaged at byte {offset}; run `python -m preprocess verify`"
            )
        return payload
