"""Bytes -> lines -> records of a table: pure generators, bounded in memory.

A record is a line, or several where a quoted cell holds line breaks (RFC 4180). A quote that is
never closed costs its own line and nothing after it: whatever the bytes, no line is looked at
more than twice, and no more than MAX_RECORD_BYTES are held.
"""

from __future__ import annotations

import csv
from collections import deque
from collections.abc import Iterable, Iterator
from typing import NamedTuple

MAX_LINE_BYTES = 64 * 1024  # of a record: a row of ids and numbers has some hundred bytes
MAX_RECORD_BYTES = 1 << 20  # how far the end of a quoted cell is looked for
# Of Python's csv, for the whole process: a cell that it finds too long would not be seen to end.
csv.field_size_limit(max(csv.field_size_limit(), 4 * MAX_RECORD_BYTES))


class Record(NamedTuple):
    """A row as it is in the file."""

    line: int  # number of its first line, counted from 1
    raw: bytes  # UTF-8 as far as it is text; without the line end
    cells: list[str] | None = None  # where joining lines had to find them already


def physical_lines(chunks: Iterable[bytes], cr_line_ends: bool = False) -> Iterator[bytes]:
    """Lines without their ends. One of more than MAX_RECORD_BYTES comes out cut, but longer."""
    rest = b""
    for chunk in chunks:
        lines = (chunk.replace(b"\r", b"\n") if cr_line_ends else chunk).split(b"\n")
        lines[0] = rest + lines[0]
        rest = lines.pop()[: MAX_RECORD_BYTES + 1]
        yield from lines
    if rest:
        yield rest


class Records:
    """Joins lines to records, once.

    `width` is the number of cells of a row, once it is known. Where a quote is closed on a later
    line but the record has another number of cells, and each line by itself has the right one,
    the quote is taken for one that was never closed.
    """

    def __init__(self, lines: Iterator[bytes], separator: str) -> None:
        self.width: int | None = None
        self._lines = lines
        self._separator = separator
        self._ahead: deque[bytes] = deque()  # read already, to be joined or to be records

    def __iter__(self) -> Iterator[Record]:
        number = 1
        ahead, lines = self._ahead, self._lines
        while True:
            raw = ahead.popleft() if ahead else next(lines, None)
            if raw is None:
                return
            # Only an odd number of quotes can leave one open, and only another odd one closes it.
            quotes = raw.count(b'"')
            if quotes & 1 and (record := self._joined(raw, number, quotes)):
                yield record
                number += record.raw.count(b"\n") + 1
            else:
                yield Record(number, raw.rstrip(b"\r"))
                number += 1

    def _joined(self, first: bytes, number: int, quotes: int) -> Record | None:
        """The record of several lines that begins with this one; None where it is one line."""
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
            return None  # a quote that nobody closed
        for _ in several[1:]:
            self._ahead.popleft()
        return Record(number, raw, cells)

    def _up_to_next_odd(self, first: bytes) -> list[bytes]:
        """The lines from `first` to the next with an odd number of quotes, those after the first
        left in `ahead`; the first alone where there is none near enough.
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
        """The cells of a record; None where quotes are wrong, or one is not closed."""
        try:
            return split_quoted(raw.rstrip(b"\r").decode("utf-8", "replace"), self._separator)
        except csv.Error:
            return None


def split_quoted(text: str, separator: str) -> list[str]:
    """The cells of a record with quotes in it; raises csv.Error where these are wrong."""
    reader = csv.reader([text], delimiter=separator, strict=True, skipinitialspace=True)
    return next(reader, [])
