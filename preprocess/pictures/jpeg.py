"""The segments of a JPEG: how much work it is, where it is damaged, what TensorFlow says of it."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator

from preprocess.pictures.container import Container, check_parts
from preprocess.pictures.limits import MAX_PIXELS, most_scans
from preprocess.pictures.refusal import PictureReason, Refused

SIGNATURE = b"\xff\xd8\xff"

# A marker: not a stuffed zero, a fill byte or a restart, which belong to the pixels.
_MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]", re.DOTALL)
_NO_MARKER = (0x00, *range(0xD0, 0xD8))  # behind 0xFF
_TEMPORARY, _SCAN, _END, _COMMENT = 0x01, 0xDA, 0xD9, 0xFE
_APPLICATION = range(0xE0, 0xF0)
_JFIF, _EXIF, _ADOBE = 0xE0, 0xE1, 0xEE
_FRAMES = (0xC0, 0xC1, 0xC2, 0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF)
_SEQUENTIAL = (0xC0, 0xC1)
# Frame types that every decoder reads: baseline, extended and progressive Huffman.
_PLAIN_FRAMES = (0xC0, 0xC1, 0xC2)
# Markers of other frames, or without a length.
_NOT_BEFORE_SCAN = frozenset((*_FRAMES, *range(0xD0, 0xDA)))
# What may stand behind the first scan: tables, further scans, number of lines, comment, the end;
# and application segments, where the next marker follows them.
_BEHIND_SCAN = (0xC4, 0xDB, 0xDD, 0xDC, _COMMENT, _SCAN, _END)


@dataclasses.dataclass(frozen=True)
class Segment:
    """A marker with what belongs to it; of a scan its header, not the pixels behind it.

    Attributes:
      marker: the byte behind 0xFF.
      start: of the marker.
      body: start of what follows the length.
      end: behind the last byte.
      stray: bytes in front of it that belong to nothing.
    """

    marker: int
    start: int
    body: int
    end: int
    stray: bool


def inspect(data: bytes) -> Container:
    """The structure of a JPEG file.

    Raises Refused: TOO_LARGE for more segments or scans than are decoded, DAMAGED_PICTURE for one
    without its end or with a stray marker among its pixels. A damaged byte there may look like a
    marker: libjpeg ends the picture at it and leaves the rest grey, TensorFlow refuses it.
    """
    scans, pixels, ended, plain = 0, 0, False, True
    jfif = False
    frames = set()
    for count, segment in enumerate(segments(data), 1):
        check_parts(count, "segments of a JPEG")
        marker, body = segment.marker, data[segment.body : segment.end]
        if scans and not _may_follow_scan(data, segment):
            raise Refused(
                PictureReason.DAMAGED_PICTURE, f"marker 0x{marker:02X} amid a JPEG's pixels"
            )
        # libjpeg prints a line about them.
        plain = plain and not segment.stray and marker != _TEMPORARY
        if marker in _FRAMES:
            frames.add(marker)
            # A size beyond the limit is refused when the header is read, with its numbers.
            size = int.from_bytes(body[1:3], "big") * int.from_bytes(body[3:5], "big")
            pixels = min(max(pixels, size), MAX_PIXELS)
        elif marker == _SCAN:
            scans += 1
            if scans > most_scans(pixels):
                raise Refused(
                    PictureReason.TOO_LARGE,
                    f"more than {most_scans(pixels)} scans of {pixels} pixels, each of which "
                    "goes over all of them",
                )
        elif marker == _JFIF and not scans and body.startswith(b"JFIF\0"):
            jfif = True
            plain = plain and body[5:6] == b"\1"  # another revision is unknown to libjpeg
        elif marker == _ADOBE and not scans and not jfif and _odd_transform(body):
            plain = False
        ended = ended or marker == _END
    if not scans or not ended:
        raise Refused(PictureReason.DAMAGED_PICTURE, "a JPEG without its end")
    return Container(pixels, plain and bool(frames & {*_PLAIN_FRAMES}), lambda: bare(data))


def size(data: bytes) -> tuple[int, int]:
    """Width and height by its first frame; (0, 0) where it has none."""
    for segment in segments(data):
        if segment.marker in _FRAMES:
            body = data[segment.body : segment.body + 5]
            return int.from_bytes(body[3:5], "big"), int.from_bytes(body[1:3], "big")
        if segment.marker == _SCAN:
            break
    return 0, 0


def size_of_one_scan(data: bytes) -> tuple[int, int] | None:
    """Width and height of a JPEG that a decoder goes over once: its frame is sequential, and all of
    its components are in its first scan, behind which decoders expect the end. None for any other,
    and wherever one marker does not follow the other.

    For each record that is read, so without objects for its segments.
    """
    at, end = len(SIGNATURE) - 1, len(data) - 10
    found, components = None, 0
    while at < end and data[at] == 0xFF:
        marker, length = data[at + 1], data[at + 2] << 8 | data[at + 3]
        if marker == _SCAN:
            return found if components == data[at + 4] else None
        if marker in _SEQUENTIAL and found is None:
            found = data[at + 7] << 8 | data[at + 8], data[at + 5] << 8 | data[at + 6]
            components = data[at + 9]
        elif not 0xC4 <= marker < 0xFF or marker in _NOT_BEFORE_SCAN or length < 2:
            return None
        at += 2 + length
    return None


def segments(data: bytes) -> Iterator[Segment]:
    """The segments of a JPEG from behind its first to the first end of image."""
    at, amid_pixels = len(SIGNATURE) - 1, False
    while match := _MARKER.search(data, at):
        marker = data[match.end() - 1]
        stray = not amid_pixels and bool(data[at : match.start()].strip(b"\xff"))
        body = end = match.end()
        if marker not in (_END, _TEMPORARY):
            body = match.end() + 2
            # A length below its own two bytes counts as those two.
            length = max(int.from_bytes(data[match.end() : body], "big"), 2)
            end = min(match.end() + length, len(data))
        yield Segment(marker, match.start(), body, end, stray)
        if marker == _END:
            return
        at, amid_pixels = end, marker == _SCAN


def bare(data: bytes) -> bytes:
    """The file without profiles, comments, thumbnails and private segments."""
    kept, scanned = [data[:2]], False
    last = 2
    for segment in segments(data):
        if scanned:
            kept.append(data[last : segment.start])  # the pixels of the scan before it
        if _carries_pixels(segment.marker, data[segment.body : segment.end]):
            kept.append(data[segment.start : segment.end])
        last, scanned = segment.end, segment.marker == _SCAN
    return b"".join(kept)


def _carries_pixels(marker: int, body: bytes) -> bool:
    """Whether pixels, their colours or the orientation depend on a segment."""
    if marker == _JFIF:
        return body.startswith(b"JFIF\0") and len(body) >= 14
    if marker == _ADOBE:
        return body.startswith(b"Adobe") and len(body) >= 12
    if marker == _EXIF:
        return body.startswith(b"Exif\0\0")
    return marker not in (*_APPLICATION, _COMMENT, _TEMPORARY)


def _may_follow_scan(data: bytes, segment: Segment) -> bool:
    if segment.marker not in _APPLICATION:
        return segment.marker in _BEHIND_SCAN
    # Two bytes of the pixels that look like an application segment have a length that leads
    # nowhere: behind a real one, the next marker begins.
    behind = data[segment.end : segment.end + 2]
    return len(behind) == 2 and behind[0] == 0xFF and behind[1] not in _NO_MARKER


def _odd_transform(body: bytes) -> bool:
    """Whether an Adobe segment has a colour transform of which libjpeg prints that it guesses."""
    return body.startswith(b"Adobe") and len(body) >= 12 and body[11] > 1
