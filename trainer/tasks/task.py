"""What a task has: everything that differs between triplets, classes and what else is learned.

The training step, evaluation, report, prediction and export are written for any task and ask it
for the rest.
"""

from __future__ import annotations

import abc
from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np
import tensorflow as tf
from matplotlib.figure import Figure
from numpy.typing import NDArray

from preprocess.dataset_format import Target
from preprocess.shell.entries import load
from preprocess.shell.json_text import JsonObject
from trainer.config.combinations import measured_metrics
from trainer.config.keys import Config
from trainer.config.task_table import TaskKind, task_kind
from trainer.data.reader import Reader
from trainer.data.rows import Tensors
from trainer.data.targets import WEIGHT
from trainer.losses.build_loss import build_loss
from trainer.measures.build_measures import build_measures
from trainer.monitoring.stages import PREPROCESS
from trainer.report.page import Section
from trainer.report.pictures import Mistake
from trainer.tasks.outputs import Floats, Outputs, mean_of

SQUARED, COSINE = "squared distance", "cosine distance"


class Task(abc.ABC):
    """What a run learns. b rows; a row is a record: a triplet, a picture.

    A task names what it has beside its functions:

      target: the tensor of a batch that outputs are compared with; trainer/data/reader.py.
      picture_columns: of `predict`, a picture of the record each. One: predicting takes a folder
        of pictures; several: a table with these columns.
      output: the name of the model's output in an export.
      compare_by: how embeddings are compared, SQUARED or COSINE.
      detail: the name of details() in report.json.
      evaluate_detail: likewise in the JSON of `evaluate`.
      binomial: whether its metric is a share of records, whose interval follows from counts.

    Attributes:
      kind: its row of the table of tasks.
      classes: names of the dataset's classes; () where it has none.
      targets: the numbers of its records; () where they have none.
    """

    target: ClassVar[str]
    picture_columns: ClassVar[tuple[str, ...]] = ("path",)
    output: ClassVar[str]
    compare_by: ClassVar[str] = COSINE
    detail: ClassVar[str]
    evaluate_detail: ClassVar[str]
    binomial: ClassVar[bool] = True

    def __init__(
        self, kind: TaskKind, config: Config, classes: Sequence[str], targets: Sequence[Target] = ()
    ) -> None:
        self.kind = kind
        self.classes = tuple(classes)
        self.targets = tuple(targets)
        self._config = config
        self._loss = build_loss(config.task, config.loss)
        self._measures = build_measures(measured_metrics(config), config.task)

    @property
    def metric(self) -> str:
        """The name of its accuracy."""
        return self.kind.metric

    # On the device, in a training step.

    @abc.abstractmethod
    def head(self, features: tf.Tensor) -> tf.Tensor:
        """float32[N,...]: the outputs of the model, of features float[N,F] of the backbone."""

    def judged(self, outputs: tf.Tensor) -> tf.Tensor:
        """float32[b,F] that the loss judges, of the outputs of outputs(): on the device what
        values() is on the host.
        """
        return outputs

    def loss(self, outputs: tf.Tensor, batch: Tensors) -> tf.Tensor:
        """float32[b], of the outputs of outputs()."""
        return self._loss(self.judged(outputs), batch[self.target])

    def factors(self, batch: Tensors) -> tf.Tensor | None:
        """float32[b]: by how much each record counts in the training loss; None = all the same."""
        return batch.get(WEIGHT)

    @abc.abstractmethod
    def hits(self, outputs: tf.Tensor, batch: Tensors) -> tuple[tf.Tensor, tf.Tensor]:
        """(right, counted), bool[b] each, or float32[b] whose sums' quotient is the metric; padding
        is the caller's to leave out.
        """

    def outputs(
        self,
        model: tf.keras.Model,
        augmentation: tf.keras.layers.Layer,
        images: tf.Tensor,
        training: bool,
        augment: bool,
    ) -> tf.Tensor:
        """Outputs [b,F], or [b,P,F] where a record has P pictures, of stored pictures.

        Args:
          model: pictures [N,S,S,C] of 0-255 -> outputs.
          augmentation: the on-device layers.
          images: as the reader gives them: uint8[b,(P,)H,W,C].
          training: whether dropout and batch statistics are those of training.
          augment: whether the on-device layers draw (training, test-time augmentation).
        """
        pictures = len(self.picture_columns)
        if pictures > 1:
            images = tf.reshape(images, tf.concat([[-1], tf.shape(images)[2:]], 0))
        outputs = model(self.pixels(augmentation, images, augment), training=training)
        if pictures > 1:
            outputs = tf.reshape(outputs, [-1, pictures, outputs.shape[-1]])
        return outputs

    def pixels(
        self, augmentation: tf.keras.layers.Layer, images: tf.Tensor, augment: bool
    ) -> tf.Tensor:
        """float32[N,S,S,C] of 0-255 in front of the backbone.

        Where nothing is drawn, the whole picture is seen: the crop belongs to training.
        """
        side = self._config.image_size
        with tf.name_scope(PREPROCESS):
            pixels = augmentation(images, training=True) if augment else tf.cast(images, tf.float32)
            if pixels.shape[1:3] != (side, side):
                pixels = tf.image.resize(pixels, [side, side])
            return pixels

    # On the host, of a whole split.

    def values(self, outputs: Floats) -> Floats:
        """float64[N,F] that is judged and averaged, of outputs float64 as outputs() has them."""
        return outputs

    def losses(self, outputs: Outputs) -> Floats:
        """float64[N], the loss of each record."""
        with tf.device("CPU:0"):
            losses: Floats = self._loss(tf.constant(outputs.values), outputs.targets).numpy()
        return losses

    def scores(self, outputs: Outputs) -> Floats:
        """float64[N,F] that metrics by name look at, such as probabilities."""
        return outputs.values

    def measured(self, outputs: Outputs) -> dict[str, float | None]:
        """The metrics by name, None where one does not exist."""
        if not self._measures:
            return {}
        scores = self.scores(outputs)
        return {name: each(scores, outputs.targets) for name, each in self._measures.items()}

    @abc.abstractmethod
    def figures(self, outputs: Outputs) -> JsonObject:
        """`loss`, `counted`, the metric (None where nothing counts) and its `interval` of 95 %."""

    def baseline(self, outputs: Outputs) -> JsonObject:
        """What is reached on a split without having learned anything: `name`, `accuracy`; {} where
        nothing is known of it.
        """
        if self.kind.chance is None:
            return {}
        return {"name": "chance", "accuracy": self.kind.chance}

    def average(self, outputs: Sequence[Outputs], how: str) -> Outputs:
        """One Outputs from several runs or augmentations of the same records.

        `how` is "logits" or "probabilities", where that makes a difference.

        Raises:
          DataError: they are not of the same records.
        """
        return mean_of(outputs, [each.values for each in outputs])

    # What people look at.

    @abc.abstractmethod
    def details(self, outputs: Outputs, reader: Reader) -> JsonObject:
        """What there is to say of a split beyond its figures, as plain data for JSON."""

    def detail_lines(self, details: JsonObject) -> list[str]:
        """The details for a terminal."""
        return []

    def drawings(self, details: JsonObject) -> dict[str, Figure]:
        """Figures of the details, by the name of their file in RUN/plots."""
        return {}

    def sections(self, details: JsonObject, images: Mapping[str, bytes]) -> list[Section]:
        """What report.html shows of the details; `images` are the drawings as PNG."""
        return []

    @abc.abstractmethod
    def wrong(self, outputs: Outputs) -> NDArray[np.bool_]:
        """bool[N]: the records to show among the mistakes."""

    @abc.abstractmethod
    def mistake(self, outputs: Outputs, row: int, picture: np.ndarray) -> Mistake:
        """One of them, with its picture (or pictures) uint8 as stored."""

    # Finished runs at work.

    def embedding(self, model: tf.keras.Model) -> tf.Tensor:
        """The tensor of a model that serves as the embedding of a picture, [N,E]."""
        return model.output

    @abc.abstractmethod
    def served(self, embedding: tf.Tensor, output: tf.Tensor) -> Tensors:
        """The outputs of an export, tensors by name; `embedding` always."""

    @abc.abstractmethod
    def prediction_columns(self) -> list[str]:
        """Columns of what `predict` writes, between the record's pictures and `error`."""

    @abc.abstractmethod
    def prediction_cells(self, values: Floats) -> list[str]:
        """Their texts, for one row float64[F] of values()."""


def make_task(config: Config, classes: Sequence[str] = (), targets: Sequence[Target] = ()) -> Task:
    """The task of a configuration, for a dataset with these classes, or with these numbers.

    Raises:
      ConfigError: no such task, or the dataset has no classes where the task needs them.
    """
    kind = task_kind(config.task)
    task: Task = load(kind.task)(kind, config, classes, *([targets] if targets else []))
    return task
