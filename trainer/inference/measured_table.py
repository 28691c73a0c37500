"""The table that `evaluate --output` writes: a row for each record of a split."""

from __future__ import annotations

from collections.abc import Iterator

from trainer.data.reader import Reader
from trainer.tasks.outputs import Outputs
from trainer.tasks.task import Task

LOSS = "loss"


def measured_rows(task: Task, outputs: Outputs, reader: Reader) -> Iterator[list[str]]:
    """The header, then what each record is, its truth, its prediction and its loss, in stored
    order. Reads the ids of the split.
    """
    yield [*reader.id_columns, *task.truth_columns(), *task.prediction_columns(), LOSS]
    ids, losses = reader.ids(), task.losses(outputs)
    for row, record in enumerate(outputs.records.tolist()):
        yield [
            *ids[record],
            *task.truth_cells(outputs.targets[row]),
            *task.prediction_cells(outputs.values[row]),
            f"{losses[row] + 0.0:.6g}",  # -0.0, of a sure and right prediction, is 0
        ]
