"""Predicting on files: a row a picture, or a row a record of several pictures."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from preprocess.shell.errors import DataError
from trainer.inference.serving import Serving, batches


def model_outputs(
    serving: Serving, paths: Sequence[str]
) -> Iterator[tuple[str, NDArray[np.float64] | None, str]]:
    """(path, output float64[F], '') of each file, or (path, None, what is wrong)."""
    name = serving.task.output
    for batch in batches(paths, serving.batch_size):
        items = serving.file_pictures(batch)
        rows = iter(serving.said_of(items)[name].astype(np.float64))
        for item in items:
            yield item.id, None if item.pixels is None else next(rows), item.problem


def header(serving: Serving) -> list[str]:
    """Columns of rows_of_files() and rows_of_table()."""
    task = serving.task
    return [*task.picture_columns, *task.prediction_columns(), "error"]


def rows_of_files(serving: Serving, paths: Sequence[str]) -> Iterator[list[str]]:
    """A row a picture; an unreadable file has its error only."""
    for path, output, error in model_outputs(serving, paths):
        yield _row(serving, [path], None if output is None else output[np.newaxis], error)


def read_records(serving: Serving, table: str) -> list[tuple[str, ...]]:
    """The ids of the pictures of each record of a table; raises DataError."""
    columns = serving.task.picture_columns
    try:
        with open(table, encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            missing = [name for name in columns if name not in (reader.fieldnames or ())]
            if missing:
                raise DataError(f"'{table}' has no column {', '.join(missing)}")
            rows = [tuple(row[name] for name in columns) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"cannot read '{table}': {error}") from None
    if not rows:
        raise DataError(f"'{table}' has no rows")
    return rows


def rows_of_table(
    serving: Serving, records: Iterable[tuple[str, ...]], known: Mapping[str, str]
) -> Iterator[list[str]]:
    """A row a record of several pictures, which are named by their ids; `known` has their files.

    Each picture is looked at once, however many records it is in.
    """
    records = list(records)
    wanted = {name for record in records for name in record}
    paths = {name: known[name] for name in sorted(filter(None, wanted)) if name in known}
    found = {
        name: (output, error)
        for name, (_, output, error) in zip(
            paths, model_outputs(serving, list(paths.values())), strict=True
        )
    }
    for record in records:
        pictures = [found.get(name, (None, f"no picture {name}")) for name in record]
        outputs = [output for output, _ in pictures if output is not None]
        errors = "; ".join(error for output, error in pictures if output is None)
        whole = np.stack(outputs)[np.newaxis] if len(outputs) == len(record) else None
        yield _row(serving, record, whole, errors)


def _row(
    serving: Serving, names: Sequence[str], outputs: NDArray[np.float64] | None, error: str
) -> list[str]:
    """Of a record's outputs [1,F] or [1,P,F], None if one cannot be read."""
    task = serving.task
    if outputs is None:
        return [*names, *[""] * len(task.prediction_columns()), error]
    return [*names, *task.prediction_cells(task.values(outputs)[0]), ""]
