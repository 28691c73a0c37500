"""Bytes -> lines -> records of a table: pure generators with bounded memory.

A record is a line, or several if a quoted cell contains line breaks (RFC 4180). A quote that is
never closed costs its own line and nothing after it: whatever the bytes, no line is examined more
than twice, and at most MAX_RECORD_BYTES are held.
"""

from __future__ import annotations

import csv
from collections import deque
from collections.abc import Iterable, Iterator
from typing import NamedTuple

MAX_LINE_BYTES = 64 * 1024  # of a record: a row of ids and numbers has some hundred bytes
MAX_RECORD_BYTES = 1 << 20  # how far the end of a quoted cell is searched
# For Python's csv, in the whole process: it would otherwise not find the end of a longer cell.
csv.field_size_limit(max(csv.field_size_limit(), 4 * MAX_RECORD_BYTES))


class Record(NamedTuple):
    """A row as it is in the file."""

    line: int  # number of its first line, counted from 1
    raw: bytes  # UTF-8 if it is text; without the line end
    cells: list[str] | None = None  # if joining lines has already found them


def physical_lines(chunks: Iterable[bytes], cr_line_ends: bool = False) -> Iterator[bytes]:
    """Lines without their ends. One of more than MAX_RECORD_BYTES is truncated, but stays
    longer.
    """
    rest = b""
    for chunk in chunks:
        lines = (chunk.replace(b"\r", b"\n") if cr_line_ends else chunk).split(b"\n")
        lines[0] = rest + lines[0]
        rest = lines.pop()[: MAX_RECORD_BYTES + 1]
        yield from lines
    if rest:
        yield rest


class Records:
    """Joins lines to records, in one pass.

    `width` is the number of cells of a row, once known. If a quote is closed on a later line but
    the record has another number of cells, and each line on its own has the right one, the quote is
    considered never closed.
    """

    def __init__(self, lines: Iterator[bytes], separator: str) -> None:
        self.width: int | None = None
        self._lines = lines
        self._separator = separator
        self._ahead: deque[bytes] = deque()  # lines already read, to be joined or returned

    def __iter__(self) -> Iterator[Record]:
        number = 1
        ahead, lines = self._ahead, self._lines
        while True:
            raw = ahead.popleft() if ahead else next(lines, None)
            if raw is None:
                return
            # Only an odd number of quotes can open a cell, and only another odd one can close it.
            quotes = raw.count(b'"')
            if quotes & 1 and (record := self._joined(raw, number, quotes)):
                yield record
                number += record.raw.count(b"\n") + 1
            else:
                yield Record(number, raw.rstrip(b"\r"))
                number += 1

    def _joined(self, first: bytes, number: int, quotes: int) -> Record | None:
        """The record of several lines that starts with this one; None if it is a single line."""
        before = first.partition(b'"')[0].rstrip(b" ")
        opens = quotes == 1 and (not before or before.endswith(self._separator.encode()))
        if not opens and self._cells(first) is not None:
            return None  # a quote inside a cell, as in 12" x 10
        several = self._up_to_next_odd(first)
        raw = b"\n".join(several).rstrip(b"\r")
        cells = self._cells(raw)
        if cells is None or len(several) == 1:
            return None
        if self.width not in (None, len(cells)) and all(map(self._is_row, several[1:])):
            return None  # a quote that is never closed
        for _ in several[1:]:
            self._ahead.popleft()
        return Record(number, raw, cells)

    def _up_to_next_odd(self, first: bytes) -> list[bytes]:
        """The lines from `first` to the next one with an odd number of quotes; those after the
        first stay in `ahead`. Just the first if there is none near enough.
        """
        several, size, ahead = [first], len(first), iter(tuple(self._ahead))
        while size <= MAX_RECORD_BYTES:
            line = next(ahead, None)
            if line is None:
                line = next(self._lines, None)
                if line is None:
                    break
                self._ahead.append(line)
            several.append(line)
            size += len(line) + 1
            if line.count(b'"') & 1:
                return several
        return [first]

    def _is_row(self, line: bytes) -> bool:
        cells = self._cells(line)
        return cells is not None and len(cells) == self.width

    def _cells(self, raw: bytes) -> list[str] | None:
        """The cells of a record; None if quotes are invalid, or one is not closed."""
        try:
            return split_quoted(raw.rstrip(b"\r").decode("utf-8", "replace"), self._separator)
        except csv.Error:
            return None


def split_quoted(text: str, separator: str) -> list[str]:
    """The cells of a record with quotes; raises csv.Error if they are invalid."""
    reader = csv.reader([text], delimiter=separator, strict=True, skipinitialspace=True)
    return next(reader, [])
