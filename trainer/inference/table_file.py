"""A CSV file of results: whole or not there, and no cell that a spreadsheet would run."""

from __future__ import annotations

import contextlib
import csv
import os
from collections.abc import Callable, Iterable, Iterator
from typing import TypeAlias

from preprocess.shell.atomic import replacing
from preprocess.shell.csv_cells import safe_cells
from preprocess.shell.errors import UsageError

WriteRow: TypeAlias = Callable[[Iterable[str]], object]


@contextlib.contextmanager
def writing_table(path: str) -> Iterator[WriteRow]:
    """Yields a function that writes a row; the file takes its name when the body ends well.

    Raises:
      UsageError: no file can be written there; before the body has done any work.
    """
    if os.path.isdir(path):
        raise UsageError(f"--output='{path}' is a folder")
    with replacing(path, sync=False) as temporary:
        try:
            file = open(temporary, "w", encoding="utf-8", newline="")  # noqa: SIM115
        except OSError as error:
            raise UsageError(f"--output='{path}': {error.strerror}") from None
        with file:
            writer = csv.writer(file)
            yield lambda cells: writer.writerow(safe_cells(cells))
