"""Classification: a picture has exactly one of several classes, predicted by logits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf
from matplotlib.figure import Figure
from numpy.typing import NDArray

from preprocess.dataset_format import Target
from preprocess.shell.errors import ConfigError
from preprocess.shell.json_text import JsonObject
from trainer.config.keys import Config
from trainer.config.task_table import TaskKind
from trainer.data.reader import Reader
from trainer.data.rows import Tensors
from trainer.metrics import classification_report
from trainer.models.heads import LOGITS
from trainer.report.confusion import confusion_figure
from trainer.report.contact_sheets import ClassMistake
from trainer.report.figures import percent
from trainer.report.page import Section
from trainer.tasks.outputs import Floats, Outputs, mean_of, softmax
from trainer.tasks.part import Part

SHOWN_PAIRS = 20  # of classes that are mistaken for each other, in report.html
SHOWN_CLASSES = 1_000


class Classes(Part):
    """Outputs and values are logits [b,classes]."""

    target = "label"
    output = "logits"
    layer = LOGITS
    detail = "classification"
    evaluate_detail = "report"

    def __init__(
        self, kind: TaskKind, config: Config, classes: Sequence[str], targets: Sequence[Target] = ()
    ) -> None:
        super().__init__(kind, config, classes, targets)
        if not self.classes:
            raise ConfigError(f"task={config.task} on a dataset with no classes")

    @property
    def outputs_a_picture(self) -> int:
        """A logit a class."""
        return len(self.classes)

    @property
    def target_spec(self) -> tuple[type[np.generic], tuple[int, ...]]:
        """A class number."""
        return np.int64, ()

    def class_factors(self, batch: Tensors) -> tf.Tensor | None:
        """The loss weight of each record's class."""
        weights = self._config.loss.class_weights
        if not weights:
            return None
        # Numbers by now: trainer/data/class_weights.py has replaced "balanced".
        assert isinstance(weights, Mapping)
        table = tf.constant([weights[name] for name in self.classes], tf.float32)
        return tf.gather(table, batch[self.target])

    def hits(self, outputs: tf.Tensor, batch: Tensors) -> tuple[tf.Tensor, tf.Tensor]:
        """All records: every picture counts."""
        right = tf.equal(tf.argmax(outputs, -1), tf.cast(batch["label"], tf.int64))
        return right, tf.ones_like(right)

    def scores(self, outputs: Outputs) -> Floats:
        """Probabilities."""
        return softmax(outputs.values)

    def baseline(self, outputs: Outputs) -> JsonObject:
        """The accuracy of always predicting the most frequent class of the split."""
        counts = np.bincount(_labels(outputs), minlength=len(self.classes))
        if not counts.sum():
            return {}
        largest = self.classes[int(counts.argmax())]
        share = float(counts.max() / counts.sum())
        return {"name": f"always naming '{largest}'", "accuracy": share}

    def average(self, outputs: Sequence[Outputs], how: str) -> Outputs:
        """The mean of the logits, or the logarithm of the mean probability."""
        if how != "probabilities" or len(outputs) == 1:
            return super().average(outputs, how)
        mean = mean_of(outputs, [softmax(each.values) for each in outputs])
        tiny = np.finfo(np.float64).tiny
        return Outputs(np.log(np.maximum(mean.values, tiny)), mean.targets, mean.records)

    def details(self, outputs: Outputs, reader: Reader) -> JsonObject:
        """Figures by class, and the confusion matrix."""
        return classification_report(_labels(outputs), softmax(outputs.values), list(self.classes))

    def detail_lines(self, details: JsonObject) -> list[str]:
        """One line for each class."""
        return [
            f"  {row['class']:<24} precision {_share(row['precision'])}  "
            f"recall {_share(row['recall'])}  of {row['support']}"
            for row in details["per_class"]
        ]

    def drawings(self, details: JsonObject) -> dict[str, Figure]:
        """The confusion matrix."""
        return {"confusion": confusion_figure(details["confusion"], self.classes)}

    def sections(self, details: JsonObject, images: Mapping[str, bytes]) -> list[Section]:
        """The confusion matrix with the pairs mistaken most often, and the figures by class."""
        mistaken = sorted((c for c in details["confusion"] if c[0] != c[1]), key=lambda c: -c[2])
        pairs = [
            (self.classes[true], self.classes[predicted], str(pictures))
            for true, predicted, pictures in mistaken[:SHOWN_PAIRS]
        ]
        worst = sorted(details["per_class"], key=_difficulty)[:SHOWN_CLASSES]
        left = len(self.classes) - len(worst)
        lines = ["Hardest classes first."] + [f"{left} easier ones are in report.json."] * bool(
            left
        )
        return [
            Section(
                "Confusion",
                lines=("Rows are true classes, columns are predictions.",),
                picture=images.get("confusion"),
                header=("true", "predicted", "pictures"),
                rows=pairs,
            ),
            Section(
                "Classes",
                lines=(" ".join(lines),),
                header=("class", "precision", "recall", "F1", "pictures"),
                rows=[
                    (
                        row["class"],
                        *(percent(row[name]) for name in ("precision", "recall", "f1")),
                        str(row["support"]),
                    )
                    for row in worst
                ],
            ),
        ]

    def wrong(self, outputs: Outputs) -> NDArray[np.bool_]:
        """The records whose largest logit belongs to another class."""
        return outputs.values.argmax(-1) != _labels(outputs)

    def mistake(self, outputs: Outputs, row: int, picture: np.ndarray) -> ClassMistake:
        """A mistake with its picture, uint8[H,W,C]."""
        probabilities = softmax(outputs.values[row])
        chosen = int(probabilities.argmax())
        return ClassMistake(
            picture=picture,
            true=self.classes[int(outputs.targets[row])],
            predicted=self.classes[chosen],
            probability=float(probabilities[chosen]),
        )

    def served(self, embedding: tf.Tensor, output: tf.Tensor) -> Tensors:
        """The logits, and what is read from them."""
        return {
            "embedding": embedding,
            "logits": output,
            "probabilities": tf.nn.softmax(output),
            "class": tf.gather(tf.constant(self.classes), tf.argmax(output, -1)),
        }

    def truth_columns(self) -> list[str]:
        """The true class."""
        return ["true_class"]

    def truth_cells(self, target: np.ndarray) -> list[str]:
        """Its name."""
        return [self.classes[int(target)]]

    def prediction_columns(self) -> list[str]:
        """The most probable class, and the probability of each class."""
        return ["class", *(f"p_{name}" for name in self.classes)]

    def prediction_cells(self, values: Floats) -> list[str]:
        """Their texts, from logits."""
        probabilities = softmax(values)
        return [self.classes[int(probabilities.argmax())], *(f"{p:.6f}" for p in probabilities)]


def _difficulty(row: JsonObject) -> tuple[bool, float]:
    """Sort key: by F1; classes without figures come last."""
    return row["f1"] is None, row["f1"] or 0.0


def _labels(outputs: Outputs) -> NDArray[np.int64]:
    return outputs.targets.astype(np.int64)


def _share(value: float | None) -> str:
    return "   - " if value is None else f"{value:.3f}"
