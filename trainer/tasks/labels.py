"""Multi-label classification: a picture has any number of labels, one logit each."""

from __future__ import annotations

from collections import Counter
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
from trainer.measures.class_counts import THRESHOLD
from trainer.models.heads import LOGITS
from trainer.report.contact_sheets import LabelsMistake
from trainer.report.figures import percent
from trainer.report.page import Section
from trainer.report.thresholds_figure import thresholds_figure
from trainer.tasks.label_report import label_report
from trainer.tasks.outputs import Floats, Outputs, mean_of, sigmoid
from trainer.tasks.part import Part

SHOWN_LABELS = 1_000  # in report.html
NO_LABEL = "no label"
_WIDTH = len("exact_match")  # of a column of the table of thresholds


class Labels(Part):
    """Outputs and values are logits [b,labels]; a label is predicted at a probability >= 0.5."""

    target = "labels"
    output = "logits"
    layer = LOGITS
    detail = "multilabel"
    evaluate_detail = "report"

    def __init__(
        self, kind: TaskKind, config: Config, classes: Sequence[str], targets: Sequence[Target] = ()
    ) -> None:
        super().__init__(kind, config, classes, targets)
        if not self.classes:
            raise ConfigError(f"task={config.task} on a dataset with no labels")
        # Joins the labels of a prediction; label names rarely contain it.
        names = "".join(self.classes)
        self._separator = next((each for each in ";|" if each not in names), "\t")

    @property
    def outputs_a_picture(self) -> int:
        """A logit a label."""
        return len(self.classes)

    @property
    def target_spec(self) -> tuple[type[np.generic], tuple[int, ...]]:
        """1 for each label that a record has, else 0."""
        return np.float32, (len(self.classes),)

    def hits(self, outputs: tf.Tensor, batch: Tensors) -> tuple[tf.Tensor, tf.Tensor]:
        """Correct are records with exactly the right labels; every picture counts."""
        right = tf.reduce_all((outputs >= 0) == (batch[self.target] > 0), -1)
        return right, tf.ones_like(right)

    def scores(self, outputs: Outputs) -> Floats:
        """The probability of each label."""
        return sigmoid(outputs.values)

    def baseline(self, outputs: Outputs) -> JsonObject:
        """The accuracy of always predicting the most frequent combination of labels."""
        rows = Counter(tuple(np.flatnonzero(row).tolist()) for row in outputs.targets)
        if not rows:
            return {}
        labels, count = max(rows.items(), key=lambda item: (item[1], item[0]))
        name = ", ".join(f"'{self.classes[at]}'" for at in labels) or NO_LABEL
        return {"name": f"always giving {name}", "accuracy": count / len(outputs.targets)}

    def average(self, outputs: Sequence[Outputs], how: str) -> Outputs:
        """The mean of the logits, or the logit of the mean probability."""
        if how != "probabilities" or len(outputs) == 1:
            return super().average(outputs, how)
        mean = mean_of(outputs, [sigmoid(each.values) for each in outputs])
        tiny = np.finfo(np.float64).eps
        shares = np.clip(mean.values, tiny, 1 - tiny)
        return Outputs(np.log(shares) - np.log1p(-shares), mean.targets, mean.records)

    def details(self, outputs: Outputs, reader: Reader) -> JsonObject:
        """Figures by label and by threshold."""
        return label_report(outputs.targets, self.scores(outputs), self.classes)

    def detail_lines(self, details: JsonObject) -> list[str]:
        """One line for each label, the table of thresholds, then the best of them."""
        lines = [
            f"  {row['label']:<24} precision {_share(row['precision'])}  "
            f"recall {_share(row['recall'])}  AUC {_share(row['auc'])}  of {row['support']}"
            for row in details["per_label"]
        ]
        best = details["best_threshold"]
        columns = ("precision", "recall", "f1", "f1_macro", "exact_match")
        lines.append("  threshold  " + "  ".join(name.ljust(_WIDTH) for name in columns).rstrip())
        for row in details["thresholds"]:
            figures = "  ".join(_share(row[name]).ljust(_WIDTH) for name in columns)
            lines.append(f"  {row['threshold']:<9.2f}  {figures}".rstrip())
        for row in details["thresholds"] if best is not None else ():
            if row["threshold"] == best:
                lines.append(
                    f"best threshold {best:g} by F1 of all labels together: F1 {row['f1']:.3f}, "
                    f"precision {row['precision']:.3f}, recall {row['recall']:.3f}"
                )
        return lines

    def drawings(self, details: JsonObject) -> dict[str, Figure]:
        """Precision, recall and F1 over the threshold."""
        return {"thresholds": thresholds_figure(details["thresholds"], details["threshold"])}

    def sections(self, details: JsonObject, images: Mapping[str, bytes]) -> list[Section]:
        """The table of thresholds, and the figures by label."""
        names = ("precision", "recall", "f1", "f1_macro", "exact_match")
        best = details["best_threshold"]
        hint = (
            f"Labels are predicted at a probability of {details['threshold']:g} or more; the F1 "
            f"over all labels would be highest at {best:g}. "
            if best is not None
            else ""
        )
        worst = sorted(details["per_label"], key=lambda row: (row["f1"] is None, row["f1"] or 0))
        return [
            Section(
                "Thresholds",
                lines=(
                    f"{hint}If you choose a threshold from this table, measure it on another "
                    f"split.",
                ),
                picture=images.get("thresholds"),
                header=("threshold", "precision", "recall", "F1", "macro F1", "exact match"),
                rows=[
                    (f"{row['threshold']:.2f}", *(percent(row[name]) for name in names))
                    for row in details["thresholds"]
                ],
            ),
            Section(
                "Labels",
                lines=("Hardest labels first.",),
                header=("label", "precision", "recall", "F1", "AUC", "best threshold", "pictures"),
                rows=[
                    (
                        row["label"],
                        *(percent(row[name]) for name in ("precision", "recall", "f1")),
                        _share(row["auc"]).strip(),
                        _share(row["best_threshold"]).strip(),
                        str(row["support"]),
                    )
                    for row in worst[:SHOWN_LABELS]
                ],
            ),
        ]

    def wrong(self, outputs: Outputs) -> NDArray[np.bool_]:
        """The records with a missing or a wrong label."""
        return ((outputs.values >= 0) != (outputs.targets > 0)).any(-1)

    def mistake(self, outputs: Outputs, row: int, picture: np.ndarray) -> LabelsMistake:
        """A mistake with its picture, uint8[H,W,C]."""
        return LabelsMistake(
            picture=picture,
            true=", ".join(self._names(outputs.targets[row] > 0)) or NO_LABEL,
            predicted=", ".join(self._names(outputs.values[row] >= 0)) or NO_LABEL,
        )

    def served(self, embedding: tf.Tensor, output: tf.Tensor) -> Tensors:
        """The logits, and what follows from them: `labels` int64[N,labels] is 1 where predicted."""
        probabilities = tf.nn.sigmoid(output)
        return {
            "embedding": embedding,
            "logits": output,
            "probabilities": probabilities,
            "labels": tf.cast(probabilities >= THRESHOLD, tf.int64),
        }

    def truth_columns(self) -> list[str]:
        """The true labels."""
        return ["true_labels"]

    def truth_cells(self, target: np.ndarray) -> list[str]:
        """Their names, separated as those of a prediction."""
        return [self._separator.join(self._names(target > 0))]

    def prediction_columns(self) -> list[str]:
        """The predicted labels, and the probability of each label."""
        return ["labels", *(f"p_{name}" for name in self.classes)]

    def prediction_cells(self, values: Floats) -> list[str]:
        """Their texts, from logits."""
        labels = self._separator.join(self._names(values >= 0))
        return [labels, *(f"{p:.6f}" for p in sigmoid(values))]

    def _names(self, given: NDArray[np.bool_]) -> list[str]:
        return [name for name, is_given in zip(self.classes, given, strict=True) if is_given]


def _share(value: float | None) -> str:
    return "   - " if value is None else f"{value:.3f}"
