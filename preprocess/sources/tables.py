"""CSV tables as spreadsheets write them, read so that a broken line costs only its row.

`dialect.py` detects how a table is written, `lines.py` divides it into records; this file finds the
columns and names the cells. An unclosed quote, a row of megabytes, NUL or bytes that are not text
reject their own line and nothing after it (a CSV reader would swallow the rest of the file into one
field).
"""

from __future__ import annotations

import csv
import hashlib
import itertools
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from io import BufferedIOBase
from typing import NamedTuple

from preprocess import storage
from preprocess.shell.errors import DataError, UsageError
from preprocess.sources.dialect import HEAD_BYTES, UTF_8, Dialect, as_utf8, recognise
from preprocess.sources.lines import (
    MAX_LINE_BYTES,
    Record,
    Records,
    physical_lines,
    split_quoted,
)
from preprocess.sources.numbers import is_number
from preprocess.sources.picture_files import is_picture_name
from preprocess.sources.refusals import Reason, Refused, Rejection

CHUNK_BYTES = 1 << 20

Layout = Callable[[list[str]], dict[str, str]]
"""The cells of a row by our names; raises Refused for a row with too few or too many."""


class Row(NamedTuple):
    """One row: its line number, counted from 1 with the header, and its cells by our names."""

    line: int
    cells: dict[str, str]


class Header(NamedTuple):
    """The content of the first row."""

    cells: Layout
    record: Record | None  # the first row if it is data, not a header


class Table:
    """A CSV file, read by `rows()`; rejected lines are in `rejections`.

    Args:
      path: of the file.
      required: columns that it must have, by our names.
      optional: columns that it may have.
      columns: (our name, the table's name or, without a header, position from 1).
      encoding: of the text; "" = by its byte-order mark, else UTF-8.
      foreign: recognises other layouts by the first row's cells, if there is no header.
    """

    def __init__(
        self,
        path: str,
        required: Sequence[str],
        optional: Sequence[str] = (),
        columns: Sequence[tuple[str, str]] = (),
        encoding: str = "",
        foreign: Callable[[list[str]], Layout | None] = lambda _: None,
    ) -> None:
        self.path = path
        self.name = os.path.basename(path)
        self.rejections: list[Rejection] = []
        self.warnings: list[str] = []
        self.counted = 0
        self.is_foreign = False  # known once the first row has been read
        self._not_text = 0  # rows that do not match the encoding
        self._hash = hashlib.sha256()
        self.column_names: list[str] = []  # of the first line, in lower case
        self._encoding = encoding
        self._required = required
        self._foreign = foreign
        known = (*required, *optional)
        for ours, _ in columns:
            if ours not in known:
                raise UsageError(
                    f"--columns: unknown name '{ours}'; this source has {', '.join(known)}"
                )
        self._columns = dict(columns)
        self._names = {name: self._columns.get(name, name) for name in known}

    def read_names(self) -> list[str]:
        """The cells of the first line in lower case; raises DataError as rows() does."""
        next(self.rows(), None)
        return self.column_names

    def rows(self) -> Iterator[Row]:
        """Yields the rows that can be read. Raises DataError for a table without the columns."""
        try:
            with storage.open_read(self.path) as file:
                yield from self._rows(file)
        except FileNotFoundError:
            raise DataError(f"table '{self.path}' does not exist") from None
        except OSError as error:
            if os.path.isdir(self.path):
                raise DataError(f"'{self.path}' is a folder, not a CSV file") from None
            raise DataError(f"cannot read '{self.path}': {error.strerror}") from None

    def refuse(self, line: int, refused: Refused) -> None:
        """Records a row that the caller rejects."""
        self.rejections.append(Rejection(self.name, line, "table", refused.reason, refused.detail))

    @property
    def sha256(self) -> str:
        """Hash of the content, once all rows have been read."""
        return self._hash.hexdigest()

    def _rows(self, file: BufferedIOBase) -> Iterator[Row]:
        head = file.read(HEAD_BYTES)
        dialect = recognise(head, self.path, self._encoding)
        if dialect.encoding != UTF_8 and not self._encoding:
            self.warnings.append(f"'{self.name}' is {dialect.encoding.upper()} and read as such")
        text = as_utf8(self._chunks(file, head), dialect.encoding)
        reader = Records(physical_lines(text, dialect.cr_line_ends), dialect.separator)
        blank = f'{dialect.separator} \t\r"'.encode()  # a row of only these is skipped
        records = (record for record in reader if record.raw.strip(blank))
        if dialect.sep_line:
            next(records)
        layout = self._header(next(records, None), dialect, reader)
        first = () if layout.record is None else (layout.record,)
        for record in itertools.chain(first, records):
            self.counted += 1
            try:
                yield Row(record.line, layout.cells(self._cells(record, dialect)))
            except Refused as refused:
                self.refuse(record.line, refused)
        if self._not_text:
            self.warnings.append(
                f"{self._not_text} rows of '{self.name}' are not {dialect.encoding.upper()}; if "
                "Excel in Western Europe saved it, set --csv_encoding=cp1252"
            )

    def _chunks(self, file: BufferedIOBase, head: bytes) -> Iterator[bytes]:
        chunk = head
        while chunk:
            self._hash.update(chunk)
            yield chunk
            chunk = file.read(CHUNK_BYTES)

    def _header(self, record: Record | None, dialect: Dialect, reader: Records) -> Header:
        if record is None:
            raise DataError(f"'{self.path}' is empty; it needs a header line")
        try:
            cells = [cell.strip() for cell in self._cells(record, dialect)]
        except Refused as refused:
            raise DataError(
                f"the first line of '{self.path}' is not a CSV header: {refused.detail}"
            ) from None
        self.column_names = names = [cell.lower() for cell in cells]
        if not self._columns and (layout := self._foreign(cells)):
            self.is_foreign = True
            return Header(layout, record)
        reader.width = len(cells)
        given = self._columns.values()
        if given and all(c.isdecimal() for c in given) and not any(c in names for c in given):
            return Header(self._by_position(len(cells)), record)
        return Header(self._by_name(names), None)

    def _by_position(self, width: int) -> Layout:
        missing = [name for name in self._required if name not in self._columns]
        if missing:
            raise UsageError(
                f"--columns has positions, for tables without a header; {', '.join(missing)} must "
                "have one too"
            )
        for ours, position in self._columns.items():
            if not 1 <= int(position) <= width:
                raise DataError(
                    f"--columns={ours}={position}: the first row of '{self.path}' has {width} "
                    "columns, counted from 1"
                )
        return _layout({ours: int(p) - 1 for ours, p in self._columns.items()}, width)

    def _by_name(self, names: list[str]) -> Layout:
        positions: dict[str, int] = {}
        if (
            looks_like_data(names)
            and self._required
            and not set(names) & {n.lower() for n in self._names.values()}
        ):
            example = ",".join(f"{name}={i + 1}" for i, name in enumerate(self._required))
            raise DataError(
                f"'{self.path}' has no header: its first line looks like a row "
                f"({', '.join(names)[:80]}). Set which column is which, counted from 1: "
                f"--columns={example}"
            )
        for ours, theirs in self._names.items():
            found = [i for i, name in enumerate(names) if name == theirs.lower()]
            if len(found) > 1:
                raise DataError(f"'{self.path}' has the column '{theirs}' {len(found)} times")
            if found:
                positions[ours] = found[0]
            elif ours in self._required or theirs != ours:
                shown = ", ".join(names)[:200]
                raise DataError(
                    f"'{self.path}' has no column '{theirs}'; it has {shown}. "
                    f"Set --columns={ours}=YOURS"
                )
        return _layout(positions, len(names))

    def _cells(self, record: Record, dialect: Dialect) -> list[str]:
        if len(record.raw) > MAX_LINE_BYTES:
            raise Refused(Reason.UNREADABLE_ROW, f"longer than {MAX_LINE_BYTES} bytes")
        try:
            text = record.raw.decode(UTF_8)
        except UnicodeDecodeError as error:
            self._not_text += 1
            raise Refused(Reason.UNREADABLE_ROW, _not_text(error, dialect.encoding)) from None
        if record.cells is not None:
            return record.cells
        if '"' not in text:
            return text.split(dialect.separator)
        try:
            return split_quoted(text, dialect.separator)
        except csv.Error as error:
            raise Refused(Reason.UNREADABLE_ROW, f"quotes: {error}") from None


def _layout(positions: Mapping[str, int], width: int) -> Layout:
    def cells_by_name(cells: list[str]) -> dict[str, str]:
        if len(cells) < width:
            raise Refused(Reason.MISSING_COLUMN, f"{len(cells)} columns instead of {width}")
        if len(cells) > width:
            raise Refused(Reason.EXTRA_COLUMN, f"{len(cells)} columns instead of {width}")
        return {name: cells[i].strip(" ") for name, i in positions.items()}

    return cells_by_name


def looks_like_data(cells: Sequence[str]) -> bool:
    """Whether a first line has what no column is named: a number, a URL, a picture's name."""
    return any(is_number(cell) or "://" in cell or is_picture_name(cell) for cell in cells)


def _not_text(error: UnicodeDecodeError, encoding: str) -> str:
    if encoding != UTF_8:
        return f"not {encoding}"
    return (
        f"not UTF-8 at byte {error.start}; save the table as UTF-8, or set its encoding: "
        "--csv_encoding=cp1252 (Excel in Western Europe)"
    )
