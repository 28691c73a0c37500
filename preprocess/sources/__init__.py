"""What users have -> rows: one module a kind of source, all giving a `Source`.

`rows.py` holds the types, `tables.py` reads CSV line by line, `folder.py` keeps every path
inside the picture folder, `splitting.py` decides which split a picture belongs to.
"""

from __future__ import annotations

from collections.abc import Callable

from preprocess.sources import csv_table, fec, folders, idx
from preprocess.sources.rows import Request, Source

READERS: dict[str, Callable[[Request], Source]] = {
    "fec": fec.read,
    "folders": folders.read,
    "csv": csv_table.read,
    "idx": idx.read,
}


def read_source(kind: str, request: Request) -> Source:
    """Reads one kind of source; raises DataError or UsageError where nothing can be made of it."""
    return READERS[kind](request)
