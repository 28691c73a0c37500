"""Evaluating a split: outputs on the devices, every figure on the host in float64."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from preprocess.shell.errors import ConfigError, DataError, full_disk
from preprocess.shell.json_text import JsonObject
from preprocess.shell.tensorflow_text import error_reason
from trainer.data.decode_limits import TOO_LARGE
from trainer.data.open_input import OpenInput
from trainer.data.order import ReplicaSlice
from trainer.data.reader import Reader
from trainer.data.targets import OUTSIDE_LABEL
from trainer.tasks.outputs import Outputs
from trainer.tasks.task import Task
from trainer.training.session import Session
from trainer.training.step_functions import predict_function
from trainer.workers import devices

_OUTPUTS = "outputs"  # next to the names that a batch has
# TensorFlow's messages for a stored picture that cannot be decoded.
_UNDECODABLE = ("Unknown image file format", "Invalid JPEG", "Invalid PNG", "invalid image")


class NotFiniteError(DataError):
    """A model whose outputs are NaN or infinite."""


class Evaluator:
    """Runs one split through one model; traced once, reused every epoch."""

    def __init__(
        self,
        session: Session,
        reader: Reader,
        steps: int = 0,
        change: Callable[[dict[str, Any]], dict[str, Any]] | None = None,
        draw_rows: int = 0,
    ) -> None:
        """`steps`: number of batches; 0 = the whole split. `change` is applied to each batch. For
        `draw_rows` see predict_function().
        """
        self._session = session
        self._reader = reader
        self._change = change
        self._draw_rows = draw_rows
        self.steps = min(steps or reader.steps_per_pass, reader.steps_per_pass)
        self._predict = predict_function(session)
        self._gather = gather_function(session.strategy)
        self._augmented: Callable[..., Any] | None = None
        self._batches: tf.distribute.DistributedDataset | None = None

    def outputs(
        self, draw: int | None = None, between: Callable[[], None] = lambda: None
    ) -> Outputs:
        """Outputs for the records of the split.

        Args:
          draw: number of a test-time augmentation; None = unaugmented pictures.
          between: called after each batch.

        Raises:
          DataError: a shard is damaged.
        """
        predict = self._predict
        if draw is not None:
            if self._augmented is None:
                self._augmented = predict_function(
                    self._session, augment=True, draw_rows=self._draw_rows
                )
            predict = self._augmented
        strategy = self._session.strategy
        task = self._session.task
        found: dict[str, list[np.ndarray]] = {"values": [], "targets": [], "records": []}
        number = tf.constant(draw or 0, tf.int64)
        try:
            if self._batches is None:  # this may read a picture table
                self._batches = devices.distribute(strategy, self._dataset)
            with OpenInput(self._batches) as batches:
                for batch in batches:
                    outputs, _ = predict(batch, number)
                    names = ("weight", "record", *task.target_names)
                    rows = {name: batch[name] for name in names}
                    rows = self._gather({**rows, _OUTPUTS: outputs})
                    real = rows["weight"] > 0
                    found["values"].append(task.values(rows[_OUTPUTS][real].astype(np.float64)))
                    truths = {name: rows[name][real] for name in task.target_names}
                    found["targets"].append(task.truth(truths))
                    found["records"].append(rows["record"][real])
                    between()
        except tf.errors.OpError as error:
            raise read_error(self._reader, error) from None
        joined = {name: np.concatenate(parts) for name, parts in found.items()}
        return Outputs(**joined)

    def _dataset(self, part: ReplicaSlice) -> Any:
        made = self._reader.dataset(0, part, self.steps)
        return made.map(self._change) if self._change else made


def read_error(reader: Reader, error: tf.errors.OpError) -> Exception:
    """The exception for a TensorFlow error, with the reader's own message if it has one."""
    if reader.error is not None:
        return reader.error
    if full_disk(error):  # TensorFlow uses the same class as for too little memory
        return error
    if isinstance(error, tf.errors.ResourceExhaustedError):
        half = max(1, reader.batch_size // 2)
        return ConfigError(f"out of memory at batch_size={reader.batch_size}; try {half}")
    message = error.message or ""
    if OUTSIDE_LABEL in message:
        labels = re.search(r"\[(-?\d[-\d ]*)", message.partition(OUTSIDE_LABEL)[2])
        return DataError(
            f"{OUTSIDE_LABEL} of '{reader.directory}' ({labels[1] if labels else 'not shown'}); "
            "run `python -m preprocess verify --deep`"
        )
    if TOO_LARGE in message:
        return DataError(
            f"{TOO_LARGE}: a picture of '{reader.directory}'; "
            "run `python -m preprocess verify --deep`"
        )
    if isinstance(error, (tf.errors.DataLossError, tf.errors.NotFoundError)) or any(
        word in message for word in _UNDECODABLE
    ):
        return reader.damage() or DataError(
            f"a shard of '{reader.directory}' is damaged ({error_reason(error)}); "
            "run `python -m preprocess verify`"
        )
    return error


def gather_function(
    strategy: tf.distribute.Strategy,
) -> Callable[[dict[str, tf.distribute.DistributedValues]], dict[str, np.ndarray]]:
    """A function that returns the rows of all replicas, in order, of values by name.

    With several processes it is traced once: outside of a tf.function, strategy.gather traces its
    collectives again at each call, which takes longer than the forward pass of a small network.
    """
    if strategy.extended._in_multi_worker_mode():

        @tf.function(autograph=False)
        def gathered(values: dict[str, Any]) -> dict[str, tf.Tensor]:
            return {name: strategy.gather(values[name], axis=0) for name in sorted(values)}

        return lambda values: {name: rows.numpy() for name, rows in gathered(values).items()}

    return lambda values: {
        name: np.concatenate([part.numpy() for part in strategy.experimental_local_results(value)])
        for name, value in values.items()
    }


def figures(task: Task, outputs: Outputs) -> JsonObject:
    """The task's figures and the metrics by name; raises NotFiniteError instead of computing
    them from NaN or infinite outputs.
    """
    if not np.isfinite(outputs.values).all():
        raise NotFiniteError("the outputs of the model are not finite: training diverged")
    found = {**task.figures(outputs), **task.measured(outputs)}
    found["loss"] += 0.0  # -0.0, of a perfect model, is 0
    return found
