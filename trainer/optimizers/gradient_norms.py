"""Norms of the gradients that move the weights: over all of them, and by layer.

They are of the gradient of an update: summed over the replicas and, with accumulation, of the mean
over its steps; before clipping. One value, whatever the number of replicas.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

NAME = "gradient_norm"  # over all weights; NAME/LAYER = over those of a layer


class GradientNorms(tf.Module):
    """The norms of the newest update; create it in the strategy's scope.

    Attributes:
      layers: the names of the layers with trainable weights.
    """

    def __init__(self, variables: Sequence[tf.Variable]) -> None:
        super().__init__(name="gradient_norms")
        self._layer_of = {id(variable): layer_of(variable.name) for variable in variables}
        self.layers = list(dict.fromkeys(self._layer_of.values()))
        none = np.full(1 + len(self.layers), np.nan, np.float32)
        self._values = tf.Variable(none, trainable=False, name="values")

    def keep(self, gradients: Sequence[tf.Tensor], variables: Sequence[tf.Variable]) -> None:
        """Remembers the norms of an update, on each replica.

        Args:
          gradients: dense, summed over the replicas.
          variables: in the same order; those without a gradient may be missing.
        """
        squares: dict[str, list[tf.Tensor]] = {layer: [tf.zeros([])] for layer in self.layers}
        for gradient, variable in zip(gradients, variables, strict=True):
            square = tf.reduce_sum(tf.square(tf.cast(gradient, tf.float32)))
            squares[self._layer_of[id(variable)]].append(square)
        by_layer = tf.stack([tf.add_n(parts) for parts in squares.values()])
        norms = tf.sqrt(tf.concat([[tf.reduce_sum(by_layer)], by_layer], 0))
        tf.distribute.get_replica_context().merge_call(self._put, args=(norms,))

    def _put(self, strategy: tf.distribute.Strategy, norms: tf.Tensor) -> None:
        strategy.extended.update(
            self._values, lambda own, new: own.assign(new), args=(norms,), group=False
        )

    def read(self) -> tf.Tensor:
        """The norms as they are now, for scalars(); waits for no device."""
        return self._values.read_value()

    def scalars(self, norms: tf.Tensor) -> dict[str, float]:
        """What read() returned, by name; NaN before the first update."""
        names = [NAME, *(f"{NAME}/{layer}" for layer in self.layers)]
        return dict(zip(names, norms.numpy().tolist(), strict=True))


def layer_of(weight: str) -> str:
    """The layer of a weight's name: "block/dense" of "block/dense/kernel:0"."""
    name = weight.partition(":")[0]
    return name.rpartition("/")[0] or name
