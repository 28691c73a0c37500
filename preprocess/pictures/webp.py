"""The header of a WebP: its decoder takes memory for all pixels before it says their number."""

from __future__ import annotations

from preprocess.pictures.container import Container, check_size

SIGNATURE = b"RIFF"


def inspect(data: bytes) -> Container:
    """The structure of a WebP file. Raises Refused if it is larger than what is decoded."""
    return Container(check_size(*_canvas(data)), False, lambda: data)


def _canvas(data: bytes) -> tuple[int, int]:
    """Width and height by the first chunk; 0, 0 if it is none that a decoder reads."""
    kind, body = data[12:16], data[20:30]
    if len(body) < 10 or data[8:12] != b"WEBP":
        return 0, 0
    if kind == b"VP8X":
        return (
            int.from_bytes(body[4:7], "little") + 1,
            int.from_bytes(body[7:10], "little") + 1,
        )
    if kind == b"VP8L":
        sides = int.from_bytes(body[1:5], "little")
        return (sides & 0x3FFF) + 1, (sides >> 14 & 0x3FFF) + 1
    if kind == b"VP8 ":
        return (
            int.from_bytes(body[6:8], "little") & 0x3FFF,
            int.from_bytes(body[8:10], "little") & 0x3FFF,
        )
    return 0, 0
