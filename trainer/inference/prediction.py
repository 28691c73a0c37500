"""Predicting on files: a row a picture, or a row a record of several pictures."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np

from preprocess.shell.errors import DataError
from trainer.inference.ensemble import Ensemble
from trainer.inference.serving import batches
from trainer.tasks.outputs import Floats
from trainer.tasks.task import Task


def model_outputs(
    ensemble: Ensemble, paths: Sequence[str]
) -> Iterator[tuple[str, list[Floats] | None, str]]:
    """(path, output float64[F] of each member, '') of each file, or (path, None, what is wrong)."""
    start = 0
    for batch in batches(paths, ensemble.first.batch_size):
        items = ensemble.first.file_pictures(batch)
        good = [start + at for at, item in enumerate(items) if item.pixels is not None]
        rows = iter(zip(*ensemble.outputs(items, good), strict=True))
        for item in items:
            yield item.id, None if item.pixels is None else list(next(rows)), item.problem
        start += len(items)


def header(ensemble: Ensemble) -> list[str]:
    """Columns of rows_of_files() and rows_of_table()."""
    task = ensemble.task
    return [*task.picture_columns, *task.prediction_columns(), "error"]


def rows_of_files(ensemble: Ensemble, paths: Sequence[str]) -> Iterator[list[str]]:
    """A row a picture; an unreadable file has its error only."""
    for path, outputs, error in model_outputs(ensemble, paths):
        yield _row(ensemble, [path], outputs, error)


def read_records(task: Task, table: str) -> list[tuple[str, ...]]:
    """The ids of the pictures of each record of a table; raises DataError."""
    columns = task.picture_columns
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
    ensemble: Ensemble, records: Iterable[tuple[str, ...]], known: Mapping[str, str]
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
            paths, model_outputs(ensemble, list(paths.values())), strict=True
        )
    }
    for record in records:
        pictures = [found.get(name, (None, f"no picture {name}")) for name in record]
        outputs = [output for output, _ in pictures if output is not None]
        errors = "; ".join(error for output, error in pictures if output is None)
        # Of each member the outputs of all the record's pictures.
        members = [np.stack(each) for each in zip(*outputs, strict=True)]
        yield _row(ensemble, record, members if len(outputs) == len(record) else None, errors)


def _row(
    ensemble: Ensemble, names: Sequence[str], outputs: Sequence[Floats] | None, error: str
) -> list[str]:
    """Of a record's outputs [F] or [P,F] of each member, None if one cannot be read."""
    task = ensemble.task
    if outputs is None:
        return [*names, *[""] * len(task.prediction_columns()), error]
    return [*names, *task.prediction_cells(ensemble.values(outputs)), ""]
