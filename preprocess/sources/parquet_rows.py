"""Reads pictures from rows of parquet files.

The smallest readable unit of a parquet file is a row group's column. The last ones are cached, so
that a small file is decoded once; in a large one, each picture costs a row group.
"""

from __future__ import annotations

import errno
import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote

from preprocess import storage
from preprocess.shell.range_file import RangeFile
from preprocess.sources.places import Place

if TYPE_CHECKING:
    import pyarrow.parquet

PARQUET = "parquet"  # detail: row group, row in it, quoted column
MAX_GROUP_BYTES = 1 << 30  # of pictures, decoded
CACHE_BYTES = 256 << 20
_BATCH_ROWS = 16  # between two checks of the size


def open_file(path: str) -> pyarrow.parquet.ParquetFile:
    """A parquet file; reads only its footer. Raises OSError and pyarrow's errors."""
    from pyarrow import PythonFile, parquet  # takes 0.1 s, which other sources do not need

    size = storage.size(path)
    stream = RangeFile(size, lambda offset, length: storage.read_range(path, offset, length))
    return parquet.ParquetFile(PythonFile(stream, "r"))


def place(path: str, size: int, group: int, row: int, column: str) -> Place:
    """A row's Place; `size` is an estimate of its bytes."""
    return Place(PARQUET, size, f"{group},{row},{quote(column, safe='.')}", path)


def read_row(item: Place, limit: int | None) -> bytes:
    """The bytes of a row's picture; raises OSError if there are none."""
    from pyarrow import ArrowException

    group, row, column = item.detail.split(",")
    try:
        values = _groups.column(item.path, int(group), unquote(column))
        content = values[int(row)].as_buffer()
    except (ArrowException, IndexError) as error:
        raise OSError(errno.EIO, f"the parquet file is damaged: {str(error)[:120]}") from None
    if content is None:
        raise OSError(errno.ENODATA, "the row has no bytes; does it only have the picture's path?")
    whole: bytes = content.slice(0, min(content.size, limit or content.size)).to_pybytes()
    return whole


class _Groups:
    """The most recently read columns of row groups, up to CACHE_BYTES."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[str, storage.Info, int, str], Any] = OrderedDict()
        self._lock = threading.Lock()

    def column(self, path: str, group: int, name: str) -> Any:
        """The values of a column in a row group, as a pyarrow ChunkedArray."""
        key = (path, storage.stat(path), group, name)
        with self._lock:
            if key not in self._kept:
                while self._kept and self._bytes() > CACHE_BYTES:
                    self._kept.popitem(last=False)
                self._kept[key] = _read_column(path, group, name)
            self._kept.move_to_end(key)
            return self._kept[key]

    def _bytes(self) -> int:
        return sum(values.nbytes for values in self._kept.values())


_groups = _Groups()


def _read_column(path: str, group: int, name: str) -> Any:
    import pyarrow as pa
    from pyarrow import compute

    chunks, size = [], 0
    file = open_file(path)
    for batch in file.iter_batches(_BATCH_ROWS, row_groups=[group], columns=[name]):
        values = batch.column(0)
        if pa.types.is_struct(values.type):
            values = compute.struct_field(values, [0])
        size += values.nbytes
        if size > MAX_GROUP_BYTES:
            raise OSError(errno.EFBIG, f"row group {group} has more than {MAX_GROUP_BYTES} bytes")
        chunks.append(values)
    return pa.chunked_array(chunks)
