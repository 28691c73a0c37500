"""Regression: one or more numbers for each picture, learned as standardized deviations."""

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
from trainer.models.heads import NUMBERS
from trainer.report.contact_sheets import LabelsMistake
from trainer.report.figures import figure, percent
from trainer.report.page import Section
from trainer.report.scatter import scatter_figure
from trainer.tasks.number_report import number_report, r_squared
from trainer.tasks.outputs import Floats, Outputs
from trainer.tasks.part import Part

STANDARDIZED = "standardized"


class Numbers(Part):
    """Outputs [b,T] are deviations from the training split's mean, in standard deviations; values
    float64[N,T] are in the targets' own units, so that runs with different means can be averaged.
    """

    target = "numbers"
    output = STANDARDIZED
    layer = NUMBERS
    detail = "regression"
    evaluate_detail = "report"
    binomial = False

    def __init__(
        self, kind: TaskKind, config: Config, classes: Sequence[str], targets: Sequence[Target] = ()
    ) -> None:
        super().__init__(kind, config, classes, targets)
        if not self.targets:
            raise ConfigError(f"task={config.task} on a dataset without numbers")
        self._mean = np.array([target.mean for target in self.targets])
        self._std = np.array([target.std for target in self.targets])

    @property
    def outputs_a_picture(self) -> int:
        """A deviation a number."""
        return len(self.targets)

    @property
    def target_spec(self) -> tuple[type[np.generic], tuple[int, ...]]:
        """The numbers in their own units."""
        return np.float32, (len(self.targets),)

    def loss(self, outputs: tf.Tensor, batch: Tensors) -> tf.Tensor:
        """float32[b], of standardized deviations."""
        return self._loss(outputs, self._standardized(batch))

    def hits(self, outputs: tf.Tensor, batch: Tensors) -> tuple[tf.Tensor, tf.Tensor]:
        """(explained, total) squares; their quotient is R² relative to the training split's
        mean.
        """
        wanted = self._standardized(batch)
        whole = tf.reduce_mean(tf.square(wanted), -1)
        return whole - tf.reduce_mean(tf.square(outputs - wanted), -1), whole

    def values(self, outputs: Floats) -> Floats:
        """In the targets' own units."""
        return self._mean + self._std * outputs

    def losses(self, outputs: Outputs) -> Floats:
        """float64[N], of standardized deviations."""
        ours, wanted = (
            (each - self._mean) / self._std for each in (outputs.values, outputs.targets)
        )
        with tf.device("CPU:0"):
            losses: Floats = self._loss(tf.constant(ours), wanted).numpy()
        return losses

    def figures(self, outputs: Outputs) -> JsonObject:
        """All records: every picture counts."""
        found, interval = r_squared(outputs.values, outputs.targets.astype(np.float64))
        return {
            "loss": float(self.losses(outputs).mean()),
            "counted": len(outputs.records),
            "r2": found,
            "interval": list(interval) if interval else None,
        }

    def baseline(self, outputs: Outputs) -> JsonObject:
        """By definition, predicting the mean of a split has an R² of 0."""
        return {"name": "always predicting the mean", "accuracy": 0.0}

    def details(self, outputs: Outputs, reader: Reader) -> JsonObject:
        """Figures for each target."""
        true = outputs.targets.astype(np.float64)
        return number_report(outputs.values, true, self.targets)

    def detail_lines(self, details: JsonObject) -> list[str]:
        """One line for each target."""
        return [
            f"  {row['target']:<24} mean absolute error {figure(row['mean_absolute_error'])}, "
            f"root mean square {figure(row['root_mean_squared_error'])}, R² {percent(row['r2'])}"
            for row in details["targets"]
        ]

    def drawings(self, details: JsonObject) -> dict[str, Figure]:
        """Predicted against true values."""
        return {"scatter": scatter_figure(details["targets"])}

    def sections(self, details: JsonObject, images: Mapping[str, bytes]) -> list[Section]:
        """The scatter plot, and the figures for each target."""
        names = ("mean_absolute_error", "root_mean_squared_error")
        rest = ("bias", "mean", "std")
        return [
            Section(
                "Predicted and true",
                lines=(
                    "On the line, prediction and truth are equal. A cloud flatter than the line "
                    "means that predictions stay too close to the mean.",
                ),
                picture=images.get("scatter"),
                header=(
                    *("number", "mean absolute error", "root mean square error", "R²"),
                    *("bias", "mean", "deviation"),
                ),
                rows=[
                    (
                        row["target"],
                        *(figure(row[name]) for name in names),
                        percent(row["r2"]),
                        *(figure(row[name]) for name in rest),
                    )
                    for row in details["targets"]
                ],
            )
        ]

    def wrong(self, outputs: Outputs) -> NDArray[np.bool_]:
        """The records with a target off by more than a standard deviation of the training split."""
        return (np.abs(outputs.values - outputs.targets) > self._std).any(-1)

    def mistake(self, outputs: Outputs, row: int, picture: np.ndarray) -> LabelsMistake:
        """A mistake with its picture, uint8[H,W,C]."""
        return LabelsMistake(
            picture=picture,
            true=self._text(outputs.targets[row]),
            predicted=self._text(outputs.values[row]),
        )

    def served(self, embedding: tf.Tensor, output: tf.Tensor) -> Tensors:
        """The numbers in their own units, and as standardized deviations."""
        mean, std = (tf.constant(each, tf.float32) for each in (self._mean, self._std))
        return {"embedding": embedding, STANDARDIZED: output, "numbers": mean + std * output}

    def truth_columns(self) -> list[str]:
        """The true numbers."""
        return [f"true_{target.name}" for target in self.targets]

    def truth_cells(self, target: np.ndarray) -> list[str]:
        """Their texts, in the targets' own units."""
        return self.prediction_cells(target)

    def prediction_columns(self) -> list[str]:
        """The names of the numbers."""
        return [target.name for target in self.targets]

    def prediction_cells(self, values: Floats) -> list[str]:
        """Their texts, in the targets' own units."""
        return [f"{value:.7g}" for value in values]

    def _standardized(self, batch: Tensors) -> tf.Tensor:
        wanted = batch[self.target]
        mean, std = (tf.constant(each, wanted.dtype) for each in (self._mean, self._std))
        return (wanted - mean) / std

    def _text(self, values: np.ndarray) -> str:
        named = zip(self.targets, values.tolist(), strict=True)
        return ", ".join(f"{target.name} {value:.4g}" for target, value in named)
