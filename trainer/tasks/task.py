"""The interface of a task: everything that differs between triplets, classes and other tasks.

The training step, evaluation, report, prediction and export work with any task and call these
methods for what differs.
"""

from __future__ import annotations

import abc
from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar

import numpy as np
import tensorflow as tf
from matplotlib.figure import Figure
from numpy.typing import NDArray

from preprocess.dataset_format import Target
from preprocess.shell.entries import load
from preprocess.shell.errors import ConfigError
from preprocess.shell.json_text import JsonObject
from preprocess.shell.references import load_class
from trainer.compat.autograph import PACKAGE, converted
from trainer.config.combinations import asked_measures
from trainer.config.keys import Config
from trainer.config.own_code import blamed, is_own
from trainer.config.task_table import TaskKind, records_of, task_kind
from trainer.data.reader import Reader
from trainer.data.rows import Tensors
from trainer.data.targets import WEIGHT
from trainer.losses.build_loss import build_loss
from trainer.measures.build_measures import build_measures
from trainer.metrics import wilson_interval
from trainer.monitoring.stages import PREPROCESS
from trainer.report.contact_sheets import Mistake
from trainer.report.page import Section
from trainer.tasks.outputs import Floats, Outputs, mean_of

KEY = "task"
_TRACED = (  # called in a training step
    *("judged", "loss", "minimized", "factors", "hits", "part_sums", "outputs", "pixels"),
)
SQUARED, COSINE = "squared distance", "cosine distance"


class Task(abc.ABC):
    """What a run learns. b is the number of rows; a row is a record: a triplet or a picture.

    Class attributes that each task sets:

      target: the tensor of a batch that outputs are compared with; see trainer/data/reader.py. A
        task that compares them with several has target_names and truth() of its own.
      picture_columns: one name for each picture of a record, used by `predict`. With one, it takes
        a folder of pictures; with several, a table that has these columns.
      output: the name of the model's output in an export.
      compare_by: how embeddings are compared, SQUARED or COSINE.
      detail: the name of details() in report.json.
      evaluate_detail: its name in the JSON of `evaluate`.
      binomial: whether its metric is a share of records, whose interval follows from counts.

    Attributes:
      kind: its row in the table of tasks.
      classes: the dataset's class names; () if it has none.
      targets: the dataset's regression targets; () if it has none.
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
        if kind.loss:
            self._loss = build_loss(config.task, config.loss)
        self._measures = build_measures(asked_measures(config), config.task)

    @property
    def metric(self) -> str:
        """The name of its main metric."""
        return self.kind.metric

    @property
    def measured_names(self) -> tuple[str, ...]:
        """The further metrics of a validation split, as measured() names them."""
        return tuple(self._measures)

    @property
    def target_names(self) -> tuple[str, ...]:
        """The tensors of a batch that truth() takes."""
        return (self.target,)

    # On the device, in a training step.

    @property
    @abc.abstractmethod
    def outputs_a_picture(self) -> int:
        """How many numbers a head gives a picture."""

    @abc.abstractmethod
    def head(self, features: tf.Tensor) -> tf.Tensor:
        """float32[N,...]: the model's outputs, from the backbone's features float[N,F]."""

    def judged(self, outputs: tf.Tensor) -> tf.Tensor:
        """float32[b,F], what the loss takes, computed from outputs(): values() for the device."""
        return outputs

    def loss(self, outputs: tf.Tensor, batch: Tensors) -> tf.Tensor:
        """float32[b], the loss of each record, from outputs()."""
        return self._loss(self.judged(outputs), batch[self.target])

    def minimized(self, losses: tf.Tensor, outputs: tf.Tensor, batch: Tensors) -> tf.Tensor:
        """float32[b]: what training minimizes of each record, before factors(); `losses` are those
        of loss(), which are reported.
        """
        return losses

    def part_sums(self, outputs: tf.Tensor, batch: Tensors) -> list[tuple[tf.Tensor, tf.Tensor]]:
        """Two float32[b] for each of kind.part_figures, in training: the figure is the quotient of
        their sums.
        """
        return []

    def factors(self, batch: Tensors) -> tf.Tensor | None:
        """float32[b]: each record's weight in the training loss; None = all equal."""
        return batch.get(WEIGHT)

    @abc.abstractmethod
    def hits(self, outputs: tf.Tensor, batch: Tensors) -> tuple[tf.Tensor, tf.Tensor]:
        """(correct, counted), bool[b] each, or float32[b] with sum(correct) / sum(counted) the
        metric. The caller leaves out padding.
        """

    def outputs(
        self,
        model: tf.keras.Model,
        augmentation: tf.keras.layers.Layer,
        images: tf.Tensor,
        training: bool,
        augment: bool,
        mix: Callable[[tf.Tensor], tf.Tensor] | None = None,
    ) -> tf.Tensor:
        """Outputs [b,F], or [b,P,F] for P pictures a record, of stored pictures.

        Args:
          model: pictures [N,S,S,C] of 0-255 -> outputs.
          augmentation: the on-device layers.
          images: from the reader: uint8[b,(P,)H,W,C].
          training: whether dropout and batch statistics work as in training.
          augment: whether the on-device layers draw random numbers (training, test-time
            augmentation).
          mix: what mixes the pictures of different rows, last of all.
        """
        pictures = len(self.picture_columns)
        if pictures > 1:
            images = tf.reshape(images, tf.concat([[-1], tf.shape(images)[2:]], 0))
        outputs = model(self.pixels(augmentation, images, augment, mix), training=training)
        if pictures > 1:
            outputs = tf.reshape(outputs, [-1, pictures, outputs.shape[-1]])
        return outputs

    def pixels(
        self,
        augmentation: tf.keras.layers.Layer,
        images: tf.Tensor,
        augment: bool,
        mix: Callable[[tf.Tensor], tf.Tensor] | None = None,
    ) -> tf.Tensor:
        """float32[N,S,S,C] in 0-255, the input of the backbone.

        Without augmentation the whole picture is seen: random crops are for training only.
        """
        side = self._config.image_size
        with tf.name_scope(PREPROCESS):
            pixels = augmentation(images, training=True) if augment else tf.cast(images, tf.float32)
            if pixels.shape[1:3] != (side, side):
                pixels = tf.image.resize(pixels, [side, side])
            return mix(pixels) if mix else pixels

    # On the host, of a whole split.

    def truth(self, rows: Mapping[str, np.ndarray]) -> np.ndarray:
        """[N,...]: what outputs are compared with, from the tensors target_names of N records."""
        return rows[self.target]

    def values(self, outputs: Floats) -> Floats:
        """float64[N,F], from which metrics are computed and which are averaged; from float64
        outputs.
        """
        return outputs

    def losses(self, outputs: Outputs) -> Floats:
        """float64[N], the loss of each record."""
        with tf.device("CPU:0"):
            losses: Floats = self._loss(tf.constant(outputs.values), outputs.targets).numpy()
        return losses

    def scores(self, outputs: Outputs) -> Floats:
        """float64[N,F] for metrics by name, such as probabilities."""
        return outputs.values

    def measured(self, outputs: Outputs) -> dict[str, float | None]:
        """The metrics by name; None if one is undefined."""
        if not self._measures:
            return {}
        scores = self.scores(outputs)
        return {name: each(scores, outputs.targets) for name, each in self._measures.items()}

    @abc.abstractmethod
    def figures(self, outputs: Outputs) -> JsonObject:
        """`loss`, `counted`, the metric (None if nothing counts) and its 95 % `interval`."""

    def counted_figures(self, outputs: Outputs, hits: int, total: int) -> JsonObject:
        """figures() where `hits` of the `total` records that count are right."""
        return {
            "loss": float(self.losses(outputs).mean()),
            "counted": total,
            self.metric: hits / total if total else None,
            "interval": list(wilson_interval(hits, total)) if total else None,
        }

    def baseline(self, outputs: Outputs) -> JsonObject:
        """The baseline without learning on this split: `name` and `accuracy`; {} if there is
        none.
        """
        if self.kind.chance is None:
            return {}
        return {"name": "chance", "accuracy": self.kind.chance}

    def average(self, outputs: Sequence[Outputs], how: str) -> Outputs:
        """Combines several runs or augmentations of the same records into one Outputs.

        `how` is "logits" or "probabilities", for tasks where that makes a difference.

        Raises:
          DataError: they have different records.
        """
        return mean_of(outputs, [each.values for each in outputs])

    # What people look at.

    @abc.abstractmethod
    def details(self, outputs: Outputs, reader: Reader) -> JsonObject:
        """Task-specific results of a split beyond its figures, as plain data for JSON."""

    def detail_lines(self, details: JsonObject) -> list[str]:
        """The details, formatted for a terminal."""
        return []

    def drawings(self, details: JsonObject) -> dict[str, Figure]:
        """Figures of the details, by file name in RUN/plots."""
        return {}

    def sections(self, details: JsonObject, images: Mapping[str, bytes]) -> list[Section]:
        """The report.html sections of the details; `images` are the drawings as PNG."""
        return []

    @abc.abstractmethod
    def wrong(self, outputs: Outputs) -> NDArray[np.bool_]:
        """bool[N]: the records that count as mistakes."""

    @abc.abstractmethod
    def mistake(self, outputs: Outputs, row: int, picture: np.ndarray) -> Mistake:
        """One mistake, with its picture (or pictures) uint8 as stored."""

    # Using finished runs.

    def embedding(self, model: tf.keras.Model) -> tf.Tensor:
        """The tensor of a model that is used as a picture's embedding, [N,E]."""
        return model.output

    def mean_embedding(self, draws: Sequence[Floats]) -> Floats:
        """float64[N,E]: one embedding for each picture, of those of several augmentations."""
        mean: Floats = np.mean(draws, axis=0)
        return mean

    @abc.abstractmethod
    def served(self, embedding: tf.Tensor, output: tf.Tensor) -> Tensors:
        """The tensors of an export by name; always contains `embedding`."""

    @abc.abstractmethod
    def truth_columns(self) -> list[str]:
        """The columns of the truth in the table that `evaluate` writes."""

    @abc.abstractmethod
    def truth_cells(self, target: np.ndarray) -> list[str]:
        """The texts of these columns, for the target of one record."""

    @abc.abstractmethod
    def prediction_columns(self) -> list[str]:
        """The columns that `predict` writes between the record's pictures and `error`."""

    @abc.abstractmethod
    def prediction_cells(self, values: Floats) -> list[str]:
        """The texts of these columns, for one row float64[F] of values()."""


def make_task(config: Config, classes: Sequence[str] = (), targets: Sequence[Target] = ()) -> Task:
    """The task of a configuration, for a dataset with these classes or targets.

    Raises:
      ConfigError: unknown task, the dataset has no classes and the task needs them, or a user's
        own is for records of several parts and does not know of parts.
    """
    kind = task_kind(config.task)
    given = (kind, config, classes, *([targets] if targets else []))
    if not is_own(KEY, config.task):
        task: Task = load(kind.task)(*given)
        return task
    cls = load_class(config.task, KEY, Task)
    _check_parts(config.task, kind, cls)
    with blamed(KEY, config.task, f"{cls.__name__}(kind, config, classes)"):
        own: Task = cls(*given)
    for name in _TRACED:
        if getattr(cls, name).__module__.partition(".")[0] != PACKAGE:
            setattr(own, name, converted(getattr(own, name)))
    return own


def _check_parts(task: str, kind: TaskKind, cls: type) -> None:
    """Raises ConfigError if a user's own lacks the figures and losses of its records' parts."""
    if kind.parts and not issubclass(cls, load(kind.task)):
        base = kind.task.replace(":", ".")
        raise ConfigError(
            f"{KEY}={task} learns from {records_of(task)}, whose parts have a loss and figures "
            f"each: derive {cls.__name__} from {base}"
        )
