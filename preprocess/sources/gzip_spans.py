"""Random access to items of a gzipped file without unpacking it: members of .tar.gz archives.

A process that reads from a file unpacks it once and saves the decompressor's state at intervals;
each read then starts at the nearest saved state.
"""

from __future__ import annotations

import errno
import functools
import threading
import zlib
from typing import Any

from preprocess import storage
from preprocess.sources.places import Place

GZIP_SPAN = "gzip"  # detail: offset in what the file unpacks to

SPACING = 1 << 20  # bytes between two states, at first
MOST_STATES = 1024  # of about 45 kB each; beyond that, every other one is dropped
_CHUNK = 1 << 16  # compressed bytes read at a time: at most 64 MB unpacked


def read_gzip_span(place: Place, limit: int | None) -> bytes:
    """The bytes of an item; raises OSError if the file is damaged before them."""
    length = place.size if limit is None else min(place.size, limit)
    return _opened(place.path, storage.stat(place.path)).read(int(place.detail), length)


class GzipStates:
    """Random access to the unpacked content of one gzipped file on a disk."""

    def __init__(self, path: str, spacing: int = SPACING, most: int = MOST_STATES) -> None:
        self._path = path
        self._spacing = spacing
        self._most = most
        self._lock = threading.Lock()
        # (unpacked offset, packed offset, decompressor), by offset; the first is the start.
        self._states: list[tuple[int, int, Any]] = [(0, 0, zlib.decompressobj(zlib.MAX_WBITS | 16))]

    def read(self, offset: int, length: int) -> bytes:
        """`length` bytes from `offset` on, fewer at the end of the file; raises OSError."""
        with self._lock:
            try:
                return self._read(offset, length)
            except zlib.error as error:
                raise OSError(errno.EIO, f"the archive is damaged: {error}") from None

    def _read(self, offset: int, length: int) -> bytes:
        at, packed_at, state = next(s for s in reversed(self._states) if s[0] <= offset)
        state = state.copy()
        end = offset + length
        pieces: list[bytes] = []
        with storage.open_read(self._path) as file:
            file.seek(packed_at)
            while at < end:
                chunk = file.read(_CHUNK)
                if not chunk:
                    break
                packed_at += len(chunk)
                while chunk:
                    piece = state.decompress(chunk)
                    chunk = state.unused_data
                    if state.eof:  # a file may consist of several streams
                        state = zlib.decompressobj(zlib.MAX_WBITS | 16)
                        chunk = chunk.lstrip(b"\0")  # padding, as on tapes
                    if at + len(piece) > offset and at < end:
                        pieces.append(piece[max(offset - at, 0) : end - at])
                    at += len(piece)
                self._keep(at, packed_at, state)
        return b"".join(pieces)

    def _keep(self, at: int, packed_at: int, state: Any) -> None:
        if at < self._states[-1][0] + self._spacing:
            return
        self._states.append((at, packed_at, state.copy()))
        if len(self._states) > self._most:
            self._states = self._states[::2]
            self._spacing *= 2


@functools.lru_cache(maxsize=4)
def _opened(path: str, version: storage.Info) -> GzipStates:
    return GzipStates(path)
