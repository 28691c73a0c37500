"""The interface of a task that can be one of several that are learned of a picture at once."""

from __future__ import annotations

import abc

import numpy as np
import tensorflow as tf

from preprocess.shell.json_text import JsonObject
from trainer.data.rows import Tensors
from trainer.models.heads import dense, dropped, features_of
from trainer.tasks.outputs import Outputs
from trainer.tasks.task import Task


class Part(Task):
    """A task whose head is a single dense layer on the features.

    Class attribute that each sets:

      layer: the name of this layer.
    """

    layer: str

    @property
    @abc.abstractmethod
    def target_spec(self) -> tuple[type[np.generic], tuple[int, ...]]:
        """The type and shape of a record's target."""

    def head(self, features: tf.Tensor) -> tf.Tensor:
        """Dropout and last_layer()."""
        return self.last_layer(dropped(features, self._config.model))

    def last_layer(self, features: tf.Tensor) -> tf.Tensor:
        """float32[N,outputs_a_picture] of features after dropout."""
        return dense(features, self._config.model, self.outputs_a_picture, self.layer)

    def class_factors(self, batch: Tensors) -> tf.Tensor | None:
        """float32[b]: what each record counts in the training loss by its class; None = all
        equal.
        """
        return None

    def factors(self, batch: Tensors) -> tf.Tensor | None:
        """class_factors() times the record's own weight."""
        found, of_class = super().factors(batch), self.class_factors(batch)
        if found is None or of_class is None:
            return of_class if found is None else found
        return tf.cast(of_class, found.dtype) * found

    def figures(self, outputs: Outputs) -> JsonObject:
        """All records: every picture counts."""
        hits, total = int((~self.wrong(outputs)).sum()), len(outputs.records)
        return self.counted_figures(outputs, hits, total)

    def embedding(self, model: tf.keras.Model) -> tf.Tensor:
        """The features in front of the last layer."""
        return features_of(model, self.layer)
