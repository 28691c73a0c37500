"""The chunks of a PNG: which of them carry pixels, and what TensorFlow says of the others."""

from __future__ import annotations

import dataclasses
import zlib
from collections.abc import Iterator

from preprocess.pictures.container import Container, check_parts
from preprocess.pictures.limits import MAX_PIXELS
from preprocess.pictures.png_side_chunks import SideChunks
from preprocess.pictures.refusal import PictureReason, Refused

SIGNATURE = b"\x89PNG"

_START = b"\x89PNG\r\n\x1a\n"
_HEADER = _START + b"\0\0\0\rIHDR"
_PIXELS = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND")
# Pillow takes the orientation from them, a text of at most MAX_TEXT bytes.
_ORIENTATION = (b"eXIf", b"zTXtRaw profile type exif\0", b"iTXtXML:com.adobe.xmp\0")
_MAX_TEXT = 1 << 20
_ANIMATION = b"acTL"
_GREY, _RGB = 0, 2
_CHANNELS = {_GREY: 1, _RGB: 3}
_STEP = 1 << 20  # bytes inflated at a time
# Adam7: (first column, first row, columns apart, rows apart) of each pass.
_PASSES = (
    *((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4)),
    *((0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)),
)


@dataclasses.dataclass(frozen=True)
class Chunk:
    """A chunk of a PNG; its bytes are data[start:end], its body data[start + 8 : end - 4]."""

    name: bytes
    start: int
    end: int
    whole: bool  # its checksum is right

    @property
    def critical(self) -> bool:
        """Whether a decoder has to understand it."""
        return not self.name[0] & 0x20


def inspect(data: bytes) -> Container:
    """The structure of a PNG file.

    Raises Refused: TOO_LARGE for more chunks than are decoded; DAMAGED_PICTURE where a chunk with
    pixels has a wrong checksum or the last one is missing: TensorFlow refuses them, Pillow not.
    """
    side = SideChunks(colour=data[25:26] == bytes([_RGB]))
    plain, names = True, []
    for count, chunk in enumerate(chunks(data), 1):
        check_parts(count, "chunks of a PNG")
        if chunk.name in _PIXELS:
            if not chunk.whole:
                raise Refused(
                    PictureReason.DAMAGED_PICTURE, f"wrong checksum of PNG chunk {chunk.name!r}"
                )
            names.append(chunk.name)
            # Between two chunks of pixels nothing else may stand, and the last chunk is empty.
            split = chunk.name == b"IDAT" and side.behind_pixels
            plain = plain and not split and (chunk.name != b"IEND" or chunk.end - chunk.start == 12)
        else:
            body = data[chunk.start + 8 : chunk.end - 4]
            fine = chunk.whole and not chunk.critical
            plain = plain and fine and side.is_plain(chunk.name, body, b"IDAT" in names)
    if names[-1:] != [b"IEND"]:
        raise Refused(PictureReason.DAMAGED_PICTURE, "the PNG file ends before its last chunk")
    depth, colour_type = data[24], data[25]
    plain = plain and data.startswith(_HEADER) and depth == 8 and colour_type in _CHANNELS
    pixels = int.from_bytes(data[16:20], "big") * int.from_bytes(data[20:24], "big")
    return Container(
        min(pixels, MAX_PIXELS),
        plain and b"tRNS" not in names and pixels <= MAX_PIXELS and _inflates(data),
        lambda: bare(data),
    )


def chunks(data: bytes) -> Iterator[Chunk]:
    """The whole chunks of a PNG up to its last one."""
    at = len(_START)
    while at + 12 <= len(data):  # length, name, body, checksum
        end = at + 12 + int.from_bytes(data[at : at + 4], "big")
        if end > len(data):
            return
        view = memoryview(data)[at + 4 : end - 4]
        name = data[at + 4 : at + 8]
        yield Chunk(name, at, end, zlib.crc32(view) == int.from_bytes(data[end - 4 : end], "big"))
        if name == b"IEND":
            return
        at = end


def bare(data: bytes) -> bytes:
    """The file without profiles, texts and private chunks."""
    kept = [_START]
    for chunk in chunks(data):
        whole = data[chunk.start : chunk.end]
        text = whole[4:].startswith(_ORIENTATION) and len(whole) <= _MAX_TEXT
        if chunk.name in _PIXELS or (chunk.whole and (chunk.name == _ANIMATION or text)):
            kept.append(whole)
    return b"".join(kept)


def _inflates(data: bytes) -> bool:
    """Whether the pixels of a grey or RGB PNG have the length and the checksum that libpng wants:
    of more it prints a line, for another checksum TensorFlow refuses the file.
    """
    inflater, size = zlib.decompressobj(), 0
    try:
        for chunk in chunks(data):
            if chunk.name != b"IDAT":
                continue
            rest = data[chunk.start + 8 : chunk.end - 4]
            while rest:
                size += len(inflater.decompress(rest, _STEP))
                rest = inflater.unconsumed_tail
            if inflater.unused_data:
                return False
    except zlib.error:
        return False
    return inflater.eof and size == _inflated_bytes(data)


def _inflated_bytes(data: bytes) -> int:
    """What the pixels of a PNG of 8 bits come to, with one byte a row for its filter."""
    width, height = (int.from_bytes(data[at : at + 4], "big") for at in (16, 20))
    channels = _CHANNELS[data[25]]
    interlaced = data[28] != 0
    total = 0
    for x, y, across, down in _PASSES if interlaced else ((0, 0, 1, 1),):
        columns, rows = -(-(width - x) // across), -(-(height - y) // down)
        if columns > 0 and rows > 0:
            total += rows * (1 + columns * channels)
    return total
