"""Measuring a split: outputs on the devices, every figure on the host in float64."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from preprocess.dataset_format import TRIPLET
from trainer import devices
from trainer.errors import ConfigError, DataError, full_disk
from trainer.metrics import classification_report, triplet_hits_from_distances, wilson_interval
from trainer.reader import Reader
from trainer.report_card import report_card
from trainer.session import Session, predict_function

# In TensorFlow's words where a stored picture is none.
_UNDECODABLE = ("Unknown image file format", "Invalid JPEG", "Invalid PNG", "invalid image")

Floats = NDArray[np.float64]
PAIRS = ((0, 1), (0, 2), (1, 2))  # whose distances stand in a triplet's three columns


class NotFiniteError(DataError):
    """A model whose outputs are NaN or infinite."""


@dataclasses.dataclass(frozen=True)
class Outputs:
    """What a model says of the records of a split, in stored order.

    values: float64[N,3], squared distances of PAIRS, or float64[N,classes], logits.
    targets: float64[N,3] votes, or int64[N] labels.
    records: int64[N].
    """

    values: Floats
    targets: NDArray[Any]
    records: NDArray[np.int64]


class Evaluator:
    """Runs one split through one model; traced once, used every epoch."""

    def __init__(self, session: Session, reader: Reader, steps: int = 0) -> None:
        """`steps`: batches to take; 0 = the whole split."""
        self._session = session
        self._reader = reader
        self.steps = min(steps or reader.steps_per_pass, reader.steps_per_pass)
        self._predict = predict_function(session)
        self._augmented: Any = None
        self._batches: Any = None

    def outputs(
        self, draw: int | None = None, between: Callable[[], None] = lambda: None
    ) -> Outputs:
        """Outputs for the records of the split.

        Args:
          draw: number of a test-time augmentation; None = the pictures as they are.
          between: called after each batch.

        Raises:
          DataError: a shard is damaged.
        """
        predict = self._predict
        if draw is not None:
            if self._augmented is None:
                self._augmented = predict_function(self._session, augment=True)
            predict = self._augmented
        strategy = self._session.strategy
        triplets = self._session.task.name == TRIPLET
        found: dict[str, list[Any]] = {"values": [], "targets": [], "records": []}
        number = tf.constant(draw or 0, tf.int64)
        try:
            if self._batches is None:  # a table may be read here
                self._batches = devices.distribute(
                    strategy, lambda part: self._reader.dataset(0, part, self.steps)
                )
            for batch in self._batches:
                outputs, _ = predict(batch, number)
                real = _gather(strategy, batch["weight"]) > 0
                values = _gather(strategy, outputs)[real].astype(np.float64)
                targets = batch["votes" if triplets else "label"]
                found["values"].append(squared_distances(values) if triplets else values)
                found["targets"].append(_gather(strategy, targets)[real])
                found["records"].append(_gather(strategy, batch["record"])[real])
                between()
        except tf.errors.OpError as error:
            raise read_error(self._reader, error) from None
        joined = {name: np.concatenate(parts) for name, parts in found.items()}
        return Outputs(**joined)


def read_error(reader: Reader, error: Any) -> Exception:
    """What to raise for an error of TensorFlow's: the reader's own words where it has some."""
    if reader.error is not None:
        return reader.error
    if full_disk(error):  # of the same class as too little memory
        return error
    if isinstance(error, tf.errors.ResourceExhaustedError):
        half = max(1, reader.batch_size // 2)
        return ConfigError(f"out of memory at batch_size={reader.batch_size}; try {half}")
    message = error.message or ""
    if isinstance(error, (tf.errors.DataLossError, tf.errors.NotFoundError)) or any(
        word in message for word in _UNDECODABLE
    ):
        # "{{function_node ...}} corrupted record at 0 [[{{node ...}}]] [Op:IteratorGetNext]"
        first = re.sub(r"\{\{.*?\}\}|\[.*", "", (message.splitlines() or [""])[0]).strip()
        return reader.damage() or DataError(
            f"a shard of '{reader.directory}' is damaged ({first}); "
            "run `python -m preprocess verify`"
        )
    return error


def _gather(strategy: Any, value: Any) -> Any:
    """Rows of all replicas, in their order. strategy.gather takes 0.1 s a call; only other
    processes make it necessary.
    """
    if strategy.extended._in_multi_worker_mode():
        return strategy.gather(value, axis=0).numpy()
    return np.concatenate([part.numpy() for part in strategy.experimental_local_results(value)])


def squared_distances(embeddings: Floats) -> Floats:
    """float64[N,3] in the order of PAIRS, from embeddings float64[N,3,E]."""
    columns = [((embeddings[:, i] - embeddings[:, j]) ** 2).sum(-1) for i, j in PAIRS]
    return np.stack(columns, axis=-1)


def triplet_losses(distances: Floats, votes: Floats, delta: float) -> Floats:
    """float64[N]: the triplet loss (DESIGN: h) from squared distances float64[N,3].

    Reversed, column i of the distances is that of the two pictures other than i.
    """
    others = distances[:, ::-1]
    losses = np.zeros(len(distances))
    for far in range(3):
        for near in range(3):
            if near != far:
                hinge = np.maximum(0, others[:, far] - others[:, near] + delta)
                losses += votes[:, far] * hinge
    return losses


def softmax(logits: Floats) -> Floats:
    """Probabilities over the last axis."""
    shifted = np.exp(logits - logits.max(-1, keepdims=True))
    probabilities: Floats = shifted / shifted.sum(-1, keepdims=True)
    return probabilities


def average(outputs: Sequence[Outputs], how: str) -> Outputs:
    """One Outputs from several runs or augmentations of the same records.

    Triplets: the mean of the squared distances; embeddings of different runs live in different
    spaces and are never averaged. Classes: the mean of the logits, or the logarithm of the mean
    probability.

    Raises:
      DataError: the runs were not measured on the same records.
    """
    first = outputs[0]
    for other in outputs[1:]:
        if not np.array_equal(first.records, other.records):
            raise DataError("the runs were measured on different records")
    if len(outputs) == 1:
        return first
    if how == "probabilities":
        mean = np.mean([softmax(o.values) for o in outputs], axis=0)
        values = np.log(np.maximum(mean, np.finfo(np.float64).tiny))
    else:
        values = np.mean([o.values for o in outputs], axis=0)
    return dataclasses.replace(first, values=values)


def triplet_figures(outputs: Outputs, delta: float) -> dict[str, Any]:
    """loss, triplet_accuracy, its 95 % interval and how many triplets counted."""
    right, counted = triplet_hits_from_distances(outputs.values, outputs.targets)
    hits, total = int(np.sum(right & counted)), int(np.sum(counted))
    return {
        "loss": float(triplet_losses(outputs.values, outputs.targets, delta).mean()),
        "counted": total,
        "triplet_accuracy": hits / total if total else None,
        "interval": list(wilson_interval(hits, total)) if total else None,
    }


def triplet_card(outputs: Outputs, reader: Reader) -> dict[str, Any]:
    """The report card of a split of triplets; the reader knows their types."""
    types = [reader.types[record] for record in outputs.records.tolist()]  # type: ignore[union-attr]
    return report_card(outputs.values, outputs.targets, types)


def class_figures(outputs: Outputs, classes: Sequence[str]) -> dict[str, Any]:
    """loss, accuracy, its 95 % interval, how many were counted, and the whole report."""
    probabilities = softmax(outputs.values)
    labels = outputs.targets.astype(np.int64)
    shifted = outputs.values - outputs.values.max(-1, keepdims=True)
    log_probabilities = shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))
    report = classification_report(labels, probabilities, list(classes))
    return {
        "loss": float(-log_probabilities[np.arange(len(labels)), labels].mean()),
        "counted": len(labels),
        "accuracy": report["accuracy"],
        "interval": report["interval"],
        "report": report,
    }


def figures(session: Session, outputs: Outputs, classes: Sequence[str]) -> dict[str, Any]:
    """triplet_figures() or class_figures(); raises NotFiniteError where they would be nonsense."""
    if not np.isfinite(outputs.values).all():
        raise NotFiniteError("the outputs of the model are not finite: its training diverged")
    if session.task.name == TRIPLET:
        return triplet_figures(outputs, session.task.delta)
    return class_figures(outputs, classes)
