"""The bookkeeping of a batch, computed in Python and passed to the graph."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import tensorflow as tf

Tensors: TypeAlias = "dict[str, tf.Tensor]"
"""Tensors by name: of a batch, or of the features of records."""


def row_specs(size: int) -> dict[str, tf.TensorSpec]:
    """The tensors that accompany the pictures of a batch of `size` rows; see reader.py."""
    kinds = {"record": tf.int64, "weight": tf.float32, "share": tf.float32, "row": tf.int32}
    return {name: tf.TensorSpec([size], kind) for name, kind in kinds.items()}


def from_python(
    stage: str,
    function: Callable[[int], tuple[np.ndarray, ...]],
    element: tf.Tensor,
    specs: dict[str, tf.TensorSpec],
) -> Tensors:
    """Tensors of the arrays that `function` returns for a number, named and shaped by `specs`.

    A trace attributes the time to `stage`.
    """
    kinds = [spec.dtype for spec in specs.values()]
    with tf.name_scope(stage):
        parts = tf.numpy_function(lambda number: function(int(number)), [element], kinds)
    for part, spec in zip(parts, specs.values(), strict=True):
        part.set_shape(spec.shape)
    return dict(zip(specs, parts, strict=True))
