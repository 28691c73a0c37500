"""The layers of a model for its table: shapes, weights, and how many of them train."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import tensorflow as tf

from trainer.report.layer_table import LayerRow

NOT_KNOWN = "?"  # the output of a layer that has no fixed one


def layer_rows(model: tf.keras.Model) -> list[LayerRow]:
    """Every layer of a model, those of the models inside it in their place."""
    return [
        LayerRow(
            "/".join(path),
            type(layer).__name__,
            output_shape(layer),
            _numbers(layer.weights),
            _numbers(layer.trainable_weights),
        )
        for path, layer in layers_by_path(model)
    ]


def layers_by_path(
    model: tf.keras.Model, outside: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], tf.keras.layers.Layer]]:
    """Each layer with the names of the models that it is in, from the outside, and its own; names
    may have slashes.
    """
    for layer in model.layers:
        path = (*outside, layer.name)
        if isinstance(layer, tf.keras.Model) and layer.layers:
            yield from layers_by_path(layer, path)
        else:
            yield path, layer


def output_shape(layer: tf.keras.layers.Layer) -> str:
    """For one picture, such as 80x80x32."""
    try:
        shape = list(layer.get_output_at(0).shape)
    except (AttributeError, RuntimeError, ValueError):
        return NOT_KNOWN  # several outputs, none as a part of a graph, or of an unknown rank
    return "x".join(NOT_KNOWN if side is None else str(side) for side in shape[1:]) or "1"


def _numbers(weights: Sequence[tf.Variable]) -> int:
    return sum(math.prod(weight.shape) for weight in weights)
