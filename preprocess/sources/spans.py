"""Items that are a range of a file's bytes, stored or deflated: members of tar and zip archives,
features of TFRecords.
"""

from __future__ import annotations

import errno
import struct
import zlib

from preprocess import storage
from preprocess.sources.places import Place

SPAN = "span"  # detail: offset
DEFLATED = "zip"  # detail: offset of the member's local header, bytes stored, 1 if deflated else 0

# Of a zip member's local header: signature, 22 bytes also in the directory, two lengths.
_LOCAL_HEADER = struct.Struct("<4s22xHH")
_SIGNATURE = b"PK\x03\x04"
_NAMES = 512  # bytes in which name and extra fields nearly always fit


def read_span(place: Place, limit: int | None) -> bytes:
    """The bytes of an item that is stored uncompressed."""
    length = place.size if limit is None else min(place.size, limit)
    return storage.read_range(place.path, int(place.detail), length)


def read_deflated(place: Place, limit: int | None) -> bytes:
    """The content of a zip archive's member; raises OSError if it is damaged. Never inflates more
    than the size in the directory, or `limit`.
    """
    offset, stored, deflated = map(int, place.detail.split(","))
    length = place.size if limit is None else min(place.size, limit)
    if not deflated:
        stored = min(stored, length)
    data = storage.read_range(place.path, offset, _LOCAL_HEADER.size + _NAMES + stored)
    if len(data) < _LOCAL_HEADER.size or not data.startswith(_SIGNATURE):
        raise OSError(errno.EIO, "the archive is damaged here")
    _, name, extra = _LOCAL_HEADER.unpack_from(data)
    start = _LOCAL_HEADER.size + name + extra
    if name + extra > _NAMES:
        data = storage.read_range(place.path, offset + start, stored)
        start = 0
    content = data[start : start + stored]
    if not deflated:
        return content
    try:
        return zlib.decompressobj(-zlib.MAX_WBITS).decompress(content, max(length, 1))[:length]
    except zlib.error as error:
        raise OSError(errno.EIO, f"the archive is damaged here: {error}") from None
