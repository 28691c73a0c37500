"""Reads pictures from files and from containers: the table of readers by kind of container."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from preprocess import storage
from preprocess.sources import array_rows, cifar_batches, gzip_spans, parquet_rows, spans
from preprocess.sources.places import Place, parse

# Each returns the bytes of a picture file, at most `limit` of them, and raises only OSError.
_READERS: dict[str, Callable[[Place, int | None], bytes]] = {
    array_rows.ARRAY: array_rows.read_row,
    cifar_batches.CIFAR: lambda place, limit: cifar_batches.read_row(read_bytes, place, limit),
    spans.SPAN: spans.read_span,
    spans.DEFLATED: spans.read_deflated,
    gzip_spans.GZIP_SPAN: gzip_spans.read_gzip_span,
    parquet_rows.PARQUET: parquet_rows.read_row,
}


def read_many(paths: Iterable[str], limit: int | None = None) -> Iterator[bytes | OSError]:
    """storage.read_many for pictures' paths, some of which may be items of containers."""
    return storage.read_many(paths, limit, read=read_bytes)


def read_bytes(path: str, limit: int | None = None) -> bytes:
    """A picture file's content, or its first `limit` bytes; raises OSError."""
    place = parse(path)
    if place is None:
        return storage.read_bytes(path, limit)
    return _READERS[place.kind](place, limit)
