"""Frame and checksum of TFRecords and of TensorBoard's event files, which are TFRecords too."""

from __future__ import annotations

import struct

import google_crc32c

_MASK_DELTA = 0xA282EAD8


def masked_crc(data: bytes) -> bytes:
    """CRC-32C, rotated by 15 bits and offset, as 4 bytes little-endian (TensorFlow's crc32c.h)."""
    crc = google_crc32c.value(data)
    return struct.pack("<I", (((crc >> 15) | (crc << 17)) + _MASK_DELTA) & 0xFFFFFFFF)


def frame(payload: bytes) -> bytes:
    """A payload as stored in a TFRecord file."""
    header = struct.pack("<Q", len(payload))
    return b"".join((header, masked_crc(header), payload, masked_crc(payload)))
