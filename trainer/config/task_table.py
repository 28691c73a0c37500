"""The tasks there are: what can be known of each without TensorFlow, and where the rest is.

A task is a row here and a file in trainer/tasks.
"""

from __future__ import annotations

import dataclasses

from preprocess.dataset_format import (
    CLASS_AND_NUMBERS,
    CLASSIFICATION,
    LABELS_AND_NUMBERS,
    MULTILABEL,
    PARTS,
    REGRESSION,
    TRIPLET,
)
from preprocess.shell.entries import constant_in
from preprocess.shell.errors import ConfigError
from preprocess.shell.reference_source import source_file
from preprocess.shell.references import is_reference


@dataclasses.dataclass(frozen=True, kw_only=True)
class TaskKind:
    """A task as the configuration knows it.

    Attributes:
      meaning: what is learned, in a few words.
      metric: the name of its accuracy.
      chance: the accuracy of guessing, where it is the same for every dataset.
      records: `MODULE:CLASS` of the reader of its records.
      targets: `MODULE:CLASS` of what its image records hold besides the picture, where a record is
        a picture.
      row_target: `MODULE:CLASS` of the same of one record without TensorFlow; '' for that of its
        parts, or if a record is no picture.
      batches: `MODULE:CLASS` of its batches without TensorFlow.
      checked: the name of what `check` wants to see in the records to learn from.
      task: `MODULE:CLASS` of the trainer.tasks.task.Task.
      loss: its loss where none is named: a file of trainer/losses; '' if its parts have theirs.
      part: what it is called as a part of another task.
      parts: the tasks that it is made of.
      least_embedding: numbers of an embedding below which it has no gradient.
      least_classes: of the dataset, below which there is nothing to distinguish.
      metrics: further figures, by name, that each epoch has.
      best_by: the figure of the first validation split that the best state has most of, unless
        `checkpoint.best_metric` names one; '' = the loss, the least of it.
      class_weights: whether `loss.class_weights` mean something.
      mixes: whether pictures and their targets can be mixed (augment.mixup, augment.cutmix).
    """

    meaning: str
    metric: str
    records: str
    task: str
    loss: str = ""
    part: str = ""
    parts: tuple[str, ...] = ()
    targets: str = "trainer.data.targets:Targets"
    row_target: str = ""
    batches: str = "trainer.data.numpy_batches:PictureBatches"
    checked: str = "classes"
    chance: float | None = None
    least_embedding: int = 0
    least_classes: int = 0
    metrics: tuple[str, ...] = ()
    best_by: str = ""
    class_weights: bool = False
    mixes: bool = False

    @property
    def part_figures(self) -> tuple[str, ...]:
        """What its parts add to every row, that of training too: the loss of each, and the metrics
        besides its own.
        """
        losses = [f"{TASKS[task].part}_loss" for task in self.parts]
        return (*losses, *(TASKS[task].metric for task in self.parts[1:]))


def _several(meaning: str, parts: tuple[str, ...]) -> TaskKind:
    """Of several tasks at once, each with its own head and loss."""
    kinds = [TASKS[task] for task in parts]
    return TaskKind(
        meaning=meaning,
        metric=kinds[0].metric,
        records=kinds[0].records,
        targets="trainer.data.targets:SeveralTargets",
        checked=kinds[-1].checked,
        task="trainer.tasks.several:Several",
        parts=parts,
        metrics=tuple(name for kind in kinds for name in kind.metrics),
        least_classes=max(kind.least_classes for kind in kinds),
        class_weights=any(kind.class_weights for kind in kinds),
    )


TASKS = {
    TRIPLET: TaskKind(
        meaning="the odd one out of three pictures",
        metric="triplet_accuracy",
        chance=1 / 3,
        records="trainer.data.triplets:TripletReader",
        batches="trainer.data.numpy_batches:TripletBatches",
        checked="votes",
        task="trainer.tasks.triplets:Triplets",
        loss="triplet",
        least_embedding=2,  # one number of a fixed length is + or - that
    ),
    CLASSIFICATION: TaskKind(
        meaning="the class of a picture",
        metric="accuracy",
        records="trainer.data.pictures:PictureReader",
        row_target="trainer.data.record_targets:LabelTarget",
        task="trainer.tasks.classes:Classes",
        loss="cross_entropy",
        part="class",
        least_classes=2,
        best_by="accuracy",
        class_weights=True,
        mixes=True,
    ),
    MULTILABEL: TaskKind(
        meaning="the labels of a picture, any number of several",
        metric="exact_match",
        records="trainer.data.pictures:PictureReader",
        targets="trainer.data.targets:SeveralLabels",
        row_target="trainer.data.record_targets:LabelsTarget",
        task="trainer.tasks.labels:Labels",
        loss="binary_cross_entropy",
        part="labels",
        metrics=("f1_micro", "f1", "auc"),
        least_classes=1,
        mixes=True,
    ),
    REGRESSION: TaskKind(
        meaning="one or several numbers of a picture",
        metric="r2",
        records="trainer.data.pictures:PictureReader",
        targets="trainer.data.targets:Numbers",
        row_target="trainer.data.record_targets:NumbersTarget",
        checked="numbers",
        task="trainer.tasks.numbers:Numbers",
        loss="mean_squared_error",
        part="numbers",
        metrics=("mean_absolute_error",),
    ),
}
TASKS |= {
    CLASS_AND_NUMBERS: _several("both of a picture", PARTS[CLASS_AND_NUMBERS]),
    LABELS_AND_NUMBERS: _several("both of a picture", PARTS[LABELS_AND_NUMBERS]),
}


def records_of(name: str) -> str:
    """The task whose records a task learns from: itself, or RECORDS in the file of a user's own.

    Raises:
      ConfigError: there is no such task or file; lists the names.
    """
    if name in TASKS:
        return name
    if not is_reference(name):
        raise ConfigError(
            f"task={name!r} is unknown, tasks are {', '.join(TASKS)}, or FILE.py:NAME"
        )
    file = source_file(name)
    if file is None:
        raise ConfigError(f"task={name}: no such file")
    records = constant_in(file, "RECORDS")
    if not isinstance(records, str) or records not in TASKS:
        raise ConfigError(
            f"task={name}: its file must name the task whose records it learns from, in a line "
            f"such as RECORDS = {CLASSIFICATION!r}: one of {', '.join(TASKS)}"
        )
    return records


def task_kind(name: str) -> TaskKind:
    """The row of a task, for a user's own that of its records; raises ConfigError as
    records_of().
    """
    return TASKS[records_of(name)]


def meanings_of_tasks() -> str:
    """Every task with what is learned, in one line."""
    return ", ".join(f"{name} = {kind.meaning}" for name, kind in TASKS.items())


def check_same_task(configured: str, stored: str, dataset: str = "the dataset") -> None:
    """Raises ConfigError if the configuration's task is not that of the dataset."""
    if records_of(configured) != stored:
        raise ConfigError(f"task={configured}, but {dataset} is for task={stored}")
