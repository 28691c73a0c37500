"""A CSV file of results: whole or not there, and no cell that a spreadsheet would run."""

from __future__ import annotations

import contextlib
import csv
import os
from collections.abc import Callable, Iterable, Iterator
from typing import TextIO, TypeAlias

from preprocess.shell.atomic import replacing
from preprocess.shell.csv_cells import safe_cells
from preprocess.shell.errors import OutputError, UsageError

WriteRow: TypeAlias = Callable[[Iterable[str]], object]


@contextlib.contextmanager
def writing_table(path: str) -> Iterator[WriteRow]:
    """Yields a function that writes a row; the file takes its name when the body ends well.

    Raises:
      UsageError: no file can be written there; before the body has done any work.
      OutputError: the disk is full, or the folder is gone, when the rows are written.
    """
    if os.path.isdir(path):
        raise UsageError(f"--output='{path}' is a folder")
    complete = False
    try:
        with replacing(path, sync=False) as temporary:
            try:
                file = open(temporary, "w", encoding="utf-8", newline="")  # noqa: SIM115
            except OSError as error:
                raise UsageError(f"--output='{path}': {error.strerror}") from None
            with _Table(path, file) as table:
                yield table.write
            complete = True
    except OSError as error:
        if not complete:
            raise  # of the body
        raise _not_written(path, error) from None


class _Table:
    """An open file; an error of writing or closing it is the output's, any other the body's."""

    def __init__(self, path: str, file: TextIO) -> None:
        self._path, self._file = path, file
        self._writer = csv.writer(file)

    def write(self, cells: Iterable[str]) -> None:
        """Writes a row."""
        try:
            self._writer.writerow(safe_cells(cells))
        except OSError as error:
            raise _not_written(self._path, error) from None

    def __enter__(self) -> _Table:
        return self

    def __exit__(self, failed: type[BaseException] | None, *_: object) -> None:
        try:
            self._file.close()  # what is still in memory is written now
        except OSError as error:
            if failed is None:
                raise _not_written(self._path, error) from None


def _not_written(path: str, error: OSError) -> OutputError:
    return OutputError(f"--output='{path}': {error.strerror}; no file was written")
