"""The blocks of a GIF. Comments are left out: Pillow takes minutes for one of many small blocks."""

from __future__ import annotations

from preprocess.pictures.container import Container, check_parts

SIGNATURE = b"GIF8"

_EXTENSION, _IMAGE, _END = 0x21, 0x2C, 0x3B
_GRAPHIC_CONTROL = b"\xf9"  # an extension that pixels depend on: the transparent colour


def inspect(data: bytes) -> Container:
    """The structure of a GIF file; `bare` is what is to be decoded."""
    return Container(0, False, lambda: bare(data))


def bare(data: bytes) -> bytes:
    """The header and the first two images (the second says that it is animated), each with the
    extension it depends on. Raises Refused if that has more blocks than are decoded.
    """
    at = 13 + _palette_bytes(data[10:11])
    kept = [data[:at]]
    images = blocks = 0
    while at < len(data) and images < 2:
        start, kind = at, data[at]
        at += 1
        if kind == _EXTENSION:
            at += 1
        elif kind == _IMAGE:
            at += 10 + _palette_bytes(data[at + 8 : at + 9])
            images += 1
        elif kind == _END:
            break
        else:  # padding between blocks
            continue
        needed = kind == _IMAGE or data[start + 1 : start + 2] == _GRAPHIC_CONTROL
        while at < len(data) and data[at]:  # sub-blocks, each behind its length
            at += 1 + data[at]
            blocks += kind == _EXTENSION and needed
        check_parts(blocks, "blocks of a GIF")
        at += 1
        if needed:
            kept.append(data[start:at])
    return b"".join((*kept, bytes([_END])))


def _palette_bytes(flags: bytes) -> int:
    return 3 << ((flags[0] & 7) + 1) if flags and flags[0] & 0x80 else 0
