"""Several tasks at once of a picture, such as a class and numbers: a head and a loss each."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf
from matplotlib.figure import Figure
from numpy.typing import NDArray

from preprocess.dataset_format import Target
from preprocess.shell.entries import load
from preprocess.shell.errors import ConfigError
from preprocess.shell.json_text import JsonObject
from trainer.config.keys import Config
from trainer.config.parts import part_configs, part_weights
from trainer.config.task_table import TaskKind, task_kind
from trainer.data.reader import Reader
from trainer.data.rows import Tensors
from trainer.losses.build_loss import with_its_settings
from trainer.models.heads import dropped
from trainer.report.contact_sheets import LabelsMistake
from trainer.report.page import Section
from trainer.tasks.outputs import Floats, Outputs
from trainer.tasks.part import Part
from trainer.tasks.task import Task

OUTPUTS = "outputs"


class Several(Task):
    """Outputs and values [b,F] are those of the parts, one after the other; so is what they are
    compared with. The loss is the weighted sum of the parts'.

    Attributes:
      parts: the tasks by their names. Each has a configuration of its own and knows of no other.
    """

    output = OUTPUTS
    detail = "parts"
    evaluate_detail = "report"

    def __init__(
        self, kind: TaskKind, config: Config, classes: Sequence[str], targets: Sequence[Target] = ()
    ) -> None:
        super().__init__(kind, config, classes, targets)
        configs = with_its_settings(part_configs(config))
        self.parts = {name: _part(each, classes, targets) for name, each in configs.items()}
        first, *_ = self.parts.values()
        self._first = first
        self._weights = part_weights(config)
        self._own_measures = {
            name: measure
            for name, measure in self._measures.items()
            if not any(name in part.measured_names for part in self.parts.values())
        }

    @property
    def measured_names(self) -> tuple[str, ...]:
        """The figures of the parts, then the metrics by name."""
        return (*self.kind.part_figures, *self._measures)

    @property
    def target_names(self) -> tuple[str, ...]:
        """One for each part."""
        return tuple(part.target for part in self.parts.values())

    # On the device, in a training step.

    @property
    def outputs_a_picture(self) -> int:
        """Those of all parts."""
        return sum(part.outputs_a_picture for part in self.parts.values())

    def head(self, features: tf.Tensor) -> tf.Tensor:
        """float32[N,F]: a dense layer a part, on the same features."""
        kept = dropped(features, self._config.model)
        heads = [part.last_layer(kept) for part in self.parts.values()]
        return tf.keras.layers.Concatenate(name="heads", dtype="float32")(heads)

    def loss(self, outputs: tf.Tensor, batch: Tensors) -> tf.Tensor:
        """float32[b]: the sum of the parts' losses, each times its weight."""
        return self._summed(self._losses_of_parts(outputs, batch))

    def minimized(self, losses: tf.Tensor, outputs: tf.Tensor, batch: Tensors) -> tf.Tensor:
        """The same, where the loss of a part of classes is also times the weight of the class."""
        factors = {name: part.class_factors(batch) for name, part in self.parts.items()}
        if all(factor is None for factor in factors.values()):
            return losses
        of_parts = self._losses_of_parts(outputs, batch)
        return self._summed(
            {
                name: loss if factors[name] is None else loss * tf.cast(factors[name], loss.dtype)
                for name, loss in of_parts.items()
            }
        )

    def part_sums(self, outputs: tf.Tensor, batch: Tensors) -> list[tuple[tf.Tensor, tf.Tensor]]:
        """The losses, and the hits of the parts after the first."""
        losses = list(self._losses_of_parts(outputs, batch).values())
        found = [(each, tf.ones_like(each)) for each in losses]
        own = self._divided(outputs)
        for name in list(self.parts)[1:]:
            right, counted = self.parts[name].hits(own[name], batch)
            found.append((tf.cast(right, losses[0].dtype), tf.cast(counted, losses[0].dtype)))
        return found

    def hits(self, outputs: tf.Tensor, batch: Tensors) -> tuple[tf.Tensor, tf.Tensor]:
        """Those of the first part."""
        return self._first.hits(next(iter(self._divided(outputs).values())), batch)

    # On the host, of a whole split.

    def truth(self, rows: Mapping[str, np.ndarray]) -> np.ndarray:
        """float64[N,W]: the targets of the parts, one after the other."""
        columns = [
            np.reshape(rows[part.target], (-1, _width(part))) for part in self.parts.values()
        ]
        return np.concatenate(columns, axis=1).astype(np.float64)

    def values(self, outputs: Floats) -> Floats:
        """Those of the parts."""
        own = self._divided(outputs)
        return np.concatenate([part.values(own[name]) for name, part in self.parts.items()], axis=1)

    def losses(self, outputs: Outputs) -> Floats:
        """float64[N]: the sum of the parts' losses, each times its weight."""
        found: Floats = self._summed(
            {name: part.losses(own) for name, part, own in self._with_outputs(outputs)}
        )
        return found

    def scores(self, outputs: Outputs) -> Floats:
        """Those of the parts."""
        scores = [part.scores(own) for _, part, own in self._with_outputs(outputs)]
        return np.concatenate(scores, axis=1)

    def measured(self, outputs: Outputs) -> dict[str, float | None]:
        """Losses and metrics of the parts; a metric of the user's own is given all of them."""
        found: dict[str, float | None] = {}
        for name, part, own in self._with_outputs(outputs):
            figures = part.figures(own)
            found |= {f"{name}_loss": figures["loss"], part.metric: figures[part.metric]}
            found |= part.measured(own)
        if self._own_measures:
            scores = self.scores(outputs)
            found |= {n: own(scores, outputs.targets) for n, own in self._own_measures.items()}
        return {name: found[name] for name in self.measured_names}

    def figures(self, outputs: Outputs) -> JsonObject:
        """Those of the first part, with the loss of all."""
        _, first, own = self._with_outputs(outputs)[0]
        return {**first.figures(own), "loss": float(self.losses(outputs).mean())}

    def baseline(self, outputs: Outputs) -> JsonObject:
        """That of the first part."""
        _, first, own = self._with_outputs(outputs)[0]
        return first.baseline(own)

    def average(self, outputs: Sequence[Outputs], how: str) -> Outputs:
        """Each part as it averages."""
        own = [self._divided(each.values) for each in outputs]
        means = []
        for name, part in self.parts.items():
            of_part = [
                dataclasses.replace(each, values=values[name])
                for each, values in zip(outputs, own, strict=True)
            ]
            means.append(part.average(of_part, how))
        values = np.concatenate([mean.values for mean in means], axis=1)
        return dataclasses.replace(means[0], values=values)

    # What people look at.

    def details(self, outputs: Outputs, reader: Reader) -> JsonObject:
        """The details of each part, by its name."""
        return {name: part.details(own, reader) for name, part, own in self._with_outputs(outputs)}

    def detail_lines(self, details: JsonObject) -> list[str]:
        """The parts' lines, each under its name."""
        lines = []
        for name, part in self.parts.items():
            lines += [f"{name}:", *part.detail_lines(details[name])]
        return lines

    def drawings(self, details: JsonObject) -> dict[str, Figure]:
        """The parts' drawings."""
        found: dict[str, Figure] = {}
        for name, part in self.parts.items():
            found |= part.drawings(details[name])
        return found

    def sections(self, details: JsonObject, images: Mapping[str, bytes]) -> list[Section]:
        """The parts' sections."""
        parts = self.parts.items()
        return [each for name, part in parts for each in part.sections(details[name], images)]

    def wrong(self, outputs: Outputs) -> NDArray[np.bool_]:
        """The records that any part gets wrong."""
        return np.any([part.wrong(own) for _, part, own in self._with_outputs(outputs)], axis=0)

    def mistake(self, outputs: Outputs, row: int, picture: np.ndarray) -> LabelsMistake:
        """A mistake with its picture, uint8[H,W,C]: what is true and predicted of all parts."""
        found = [part.mistake(own, row, picture) for _, part, own in self._with_outputs(outputs)]
        true, predicted = (
            "; ".join(str(getattr(each, name)) for each in found) for name in ("true", "predicted")
        )
        return LabelsMistake(picture=picture, true=true, predicted=predicted)

    # Using finished runs.

    def embedding(self, model: tf.keras.Model) -> tf.Tensor:
        """The features in front of the parts' layers."""
        return self._first.embedding(model)

    def served(self, embedding: tf.Tensor, output: tf.Tensor) -> Tensors:
        """Those of the parts, and `outputs` [N,F], from which they are computed."""
        found: Tensors = {OUTPUTS: output}
        for name, own in self._divided(output).items():
            found |= self.parts[name].served(embedding, own)
        return found

    def truth_columns(self) -> list[str]:
        """Those of the parts."""
        return self._named({n: part.truth_columns() for n, part in self.parts.items()})

    def truth_cells(self, target: np.ndarray) -> list[str]:
        """Their texts."""
        own = self._targets(target[np.newaxis])
        parts = self.parts.items()
        return [cell for name, part in parts for cell in part.truth_cells(own[name][0])]

    def prediction_columns(self) -> list[str]:
        """Those of the parts."""
        return self._named({n: part.prediction_columns() for n, part in self.parts.items()})

    def prediction_cells(self, values: Floats) -> list[str]:
        """Their texts."""
        own = self._divided(values[np.newaxis])
        parts = self.parts.items()
        return [cell for name, part in parts for cell in part.prediction_cells(own[name][0])]

    # What belongs to which part.

    def _divided(self, outputs: tf.Tensor) -> dict[str, tf.Tensor]:
        """The columns of each part, of outputs or values [b,F]."""
        found, start = {}, 0
        for name, part in self.parts.items():
            found[name] = outputs[:, start : start + part.outputs_a_picture]
            start += part.outputs_a_picture
        return found

    def _targets(self, truth: np.ndarray) -> dict[str, np.ndarray]:
        """The targets of each part as it knows them, of truth() [N,W]."""
        found, start = {}, 0
        for name, part in self.parts.items():
            dtype, shape = part.target_spec
            columns = truth[:, start : start + _width(part)]
            found[name] = columns.reshape(-1, *shape).astype(dtype)
            start += _width(part)
        return found

    def _with_outputs(self, outputs: Outputs) -> list[tuple[str, Part, Outputs]]:
        """Each part with its own of the outputs."""
        values, targets = self._divided(outputs.values), self._targets(outputs.targets)
        return [
            (name, part, Outputs(values[name], targets[name], outputs.records))
            for name, part in self.parts.items()
        ]

    def _losses_of_parts(self, outputs: tf.Tensor, batch: Tensors) -> dict[str, tf.Tensor]:
        own = self._divided(outputs)
        return {name: part.loss(own[name], batch) for name, part in self.parts.items()}

    def _summed(self, losses: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """The sum of [b] of each part, weighted; without those that weigh nothing, whose loss may
        be infinite.
        """
        parts = [self._weights[name] * loss for name, loss in losses.items() if self._weights[name]]
        return sum(parts[1:], parts[0])

    @staticmethod
    def _named(columns: Mapping[str, Sequence[str]]) -> list[str]:
        """The columns of all parts; one that an earlier part has too is named by its part."""
        found: list[str] = []
        for part, names in columns.items():
            found += [f"{part}_{name}" if name in found else name for name in names]
        return found


def _part(config: Config, classes: Sequence[str], targets: Sequence[Target]) -> Part:
    kind = task_kind(config.task)
    part = load(kind.task)(kind, config, classes, targets)
    if not isinstance(part, Part):
        raise ConfigError(f"task={config.task} cannot be a part of another task")
    return part


def _width(part: Part) -> int:
    """How many numbers a target has."""
    return int(np.prod(part.target_spec[1]))
