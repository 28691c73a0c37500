"""The layers of a model for its table: shapes, weights, and how many of them train."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import tensorflow as tf

from trainer.report.layer_table import LayerRow

NOT_KNOWN = "?"  # the output of a layer that has no fixed one


def layer_rows(model: tf.keras.Model) -> list[LayerRow]:
    """Every layer of a model, those of the models inside it in their place."""
    return list(_rows(model, ""))


def _rows(model: tf.keras.Model, prefix: str) -> Iterator[LayerRow]:
    for layer in model.layers:
        inner = getattr(layer, "layers", None)
        if isinstance(inner, list) and inner:  # a model, and not one layer to its users
            yield from _rows(layer, f"{prefix}{layer.name}/")
            continue
        yield LayerRow(
            prefix + layer.name,
            type(layer).__name__,
            _shape(layer),
            _numbers(layer.weights),
            _numbers(layer.trainable_weights),
        )


def _shape(layer: tf.keras.layers.Layer) -> str:
    try:
        shape = layer.get_output_at(0).shape
    except (AttributeError, RuntimeError):  # several outputs, or not called as a part of a graph
        return NOT_KNOWN
    return "x".join(NOT_KNOWN if side is None else str(side) for side in shape[1:]) or "1"


def _numbers(weights: Sequence[tf.Variable]) -> int:
    return sum(math.prod(weight.shape) for weight in weights)
