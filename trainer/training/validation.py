"""The validation of a training on its splits: when it happens, and its figures."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping

from preprocess.shell.json_text import JsonObject
from trainer.config.running_sections import ValidationConfig
from trainer.data.reader import Reader
from trainer.tasks.outputs import Outputs
from trainer.training.evaluation import Evaluator, NotFiniteError, figures
from trainer.training.session import Session


def validates_after(wanted: ValidationConfig, epoch: int, step: int) -> bool:
    """Whether an epoch (from 1) that ends at a step ends with a validation; the last one always
    does.
    """
    if wanted.every_steps:
        return step % wanted.every_steps == 0
    return epoch % wanted.every_epochs == 0


def next_validation(wanted: ValidationConfig, step: int, last: int) -> int:
    """The step of the next validation within an epoch; the largest integer if there is none.

    Args:
      wanted: when to validate.
      step: steps done so far, which may itself be one to validate.
      last: the step up to which no validation is missing.
    """
    every = wanted.every_steps
    if not every:
        return sys.maxsize
    return -(-max(step, last + 1) // every) * every


def validations_an_epoch(wanted: ValidationConfig, steps: int) -> float:
    """How often an epoch of so many steps is validated, on average."""
    return steps / wanted.every_steps if wanted.every_steps else 1 / wanted.every_epochs


class Validation:
    """Evaluates a session on its splits; best and early stopping use the first one.

    Attributes:
      readers: by split.
      traced: whether tracing, which may outlast a grace period, is done in this attempt.
    """

    def __init__(self, session: Session, readers: Mapping[str, Reader]) -> None:
        self.readers = readers
        self.traced = not readers
        self._session = session
        steps = session.config.validation_steps
        self._evaluators = {name: Evaluator(session, each, steps) for name, each in readers.items()}

    def outputs(self, name: str, between: Callable[[], None] = lambda: None) -> Outputs:
        """Evaluates one split; `between` is called after each batch."""
        return self._evaluators[name].outputs(between=between)

    def row(self, between: Callable[[], None]) -> JsonObject:
        """The columns that a row of metrics.jsonl has for the splits: `val_*`, for splits after the
        first `val_NAME_*`, and `validation_seconds`.

        Raises:
          NotFiniteError: the outputs of the model are not finite.
          DataError: a shard is damaged.
        """
        started, metric = time.perf_counter(), self._session.task.metric
        row: JsonObject = {}
        for at, name in enumerate(self.readers):
            prefix = "val_" if at == 0 else f"val_{name}_"
            outputs = self.outputs(name, between)
            try:
                found = figures(self._session.task, outputs)
            except NotFiniteError:
                raise NotFiniteError(f"outputs for '{name}' are not finite") from None
            row[f"{prefix}loss"] = found["loss"]
            row[f"{prefix}{metric}"] = found[metric]
            row[f"{prefix}{metric}_interval"] = found["interval"]
            further = self._session.task.measured_names
            row |= {f"{prefix}{name}": found[name] for name in further}
        self.traced = True
        return {**row, "validation_seconds": time.perf_counter() - started}
