"""CSV tables, one physical line a row, so that one broken line costs one row.

Handled: a byte-order mark, CRLF, quoted commas, `;` or tab as separator, any order of the
columns. An unclosed quote, a row of megabytes, NUL or bytes that are not UTF-8 refuse their
own line and nothing after it (a CSV reader would swallow the rest of the file into one
field). Line feeds inside quotes are therefore not a thing here: ids and labels have none.
"""

from __future__ import annotations

import csv
import hashlib
import os
from collections.abc import Iterator, Sequence
from io import BufferedIOBase
from typing import NamedTuple

from preprocess import storage
from preprocess.errors import DataError, UsageError
from preprocess.refusals import Reason, Refused, Rejection

MAX_LINE_BYTES = 64 * 1024  # a row of ids and numbers has some hundred bytes


class Row(NamedTuple):
    """One row: its line number, counted from 1 with the header, and its cells by our names."""

    line: int
    cells: dict[str, str]


class Table:
    """A CSV file with a header, read by `rows()`; refused lines are left in `rejections`."""

    def __init__(
        self,
        path: str,
        required: Sequence[str],
        optional: Sequence[str] = (),
        columns: Sequence[tuple[str, str]] = (),
    ) -> None:
        self.path = path
        self.name = os.path.basename(path)
        self.rejections: list[Rejection] = []
        self.counted = 0
        self._hash = hashlib.sha256()
        self._positions: dict[str, int] = {}
        known = (*required, *optional)
        for ours, _ in columns:
            if ours not in known:
                raise UsageError(f"--columns names '{ours}'; this source has {', '.join(known)}")
        self._names = {name: dict(columns).get(name, name) for name in known}
        self._required = required

    def rows(self) -> Iterator[Row]:
        """Yields the rows that can be read. Raises DataError for a table without the columns."""
        try:
            with storage.open_read(self.path) as file:
                header = self._line(file)
                if header is None or not header.strip():
                    raise DataError(f"'{self.path}' is empty; a header line is expected")
                self._read_header(header)
                line = 1
                while (raw := self._line(file)) is not None:
                    line += 1
                    if not raw.strip():
                        continue
                    self.counted += 1
                    try:
                        yield Row(line, self._cells(raw))
                    except Refused as refused:
                        self.refuse(line, refused)
        except IsADirectoryError:
            raise DataError(f"'{self.path}' is a folder; a CSV file is expected") from None
        except FileNotFoundError:
            raise DataError(f"no such table: '{self.path}'") from None
        except OSError as error:
            raise DataError(f"cannot read '{self.path}': {error.strerror}") from None

    def refuse(self, line: int, refused: Refused) -> None:
        """Notes a row that the caller refuses."""
        self.rejections.append(Rejection(self.name, line, "table", refused.reason, refused.detail))

    @property
    def sha256(self) -> str:
        """Hash of the content, once all rows were read."""
        return self._hash.hexdigest()

    def _line(self, file: BufferedIOBase) -> bytes | None:
        raw = file.readline(MAX_LINE_BYTES)
        if not raw:
            return None
        self._hash.update(raw)
        if not raw.endswith(b"\n") and len(raw) == MAX_LINE_BYTES:
            # Skipped piece by piece: a line of gigabytes never stands in memory.
            while (more := file.readline(MAX_LINE_BYTES)) and not more.endswith(b"\n"):
                self._hash.update(more)
            self._hash.update(more)
            return raw + b"..."
        return raw

    def _read_header(self, raw: bytes) -> None:
        if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
            raise DataError(f"'{self.path}' is UTF-16; save it as UTF-8")
        try:
            text = raw.decode("utf-8-sig").rstrip("\r\n")
            self._separator = max(",;\t", key=text.count)
            names = [name.strip().lower() for name in self._split(text)]
        except (UnicodeDecodeError, Refused):
            raise DataError(f"the first line of '{self.path}' is no CSV header") from None
        self._width = len(names)
        for ours, theirs in self._names.items():
            found = [i for i, name in enumerate(names) if name == theirs.lower()]
            if len(found) > 1:
                raise DataError(f"'{self.path}' has the column '{theirs}' {len(found)} times")
            if found:
                self._positions[ours] = found[0]
            elif ours in self._required or theirs != ours:
                shown = ", ".join(names)[:200]
                raise DataError(
                    f"'{self.path}' has no column '{theirs}'; it has {shown}. "
                    f"Name yours with --columns={ours}=YOURS"
                )

    def _cells(self, raw: bytes) -> dict[str, str]:
        if len(raw) > MAX_LINE_BYTES:
            raise Refused(Reason.UNREADABLE_ROW, f"longer than {MAX_LINE_BYTES} bytes")
        try:
            cells = self._split(raw.decode("utf-8").rstrip("\r\n"))
        except UnicodeDecodeError as error:
            raise Refused(Reason.UNREADABLE_ROW, f"not UTF-8 at byte {error.start}") from None
        if len(cells) < self._width:
            raise Refused(Reason.MISSING_COLUMN, f"{len(cells)} columns of {self._width}")
        if len(cells) > self._width:
            raise Refused(Reason.EXTRA_COLUMN, f"{len(cells)} columns, the header {self._width}")
        return {name: cells[i].strip(" ") for name, i in self._positions.items()}

    def _split(self, text: str) -> list[str]:
        if '"' not in text:
            return text.split(self._separator)
        try:
            return next(csv.reader([text], delimiter=self._separator, strict=True))
        except (csv.Error, StopIteration) as error:
            raise Refused(Reason.UNREADABLE_ROW, f"quotes: {error}") from None
