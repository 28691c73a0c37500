"""The bookkeeping of a batch, computed in Python and passed to the graph."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np
import tensorflow as tf

Tensors: TypeAlias = "dict[str, tf.Tensor]"
"""Tensors by name: of a batch, or of the features of records."""


def row_specs(size: int | None) -> dict[str, tf.TensorSpec]:
    """The tensors that accompany the pictures of a batch of `size` rows, None = any number; see
    reader.py.
    """
    kinds = {"record": tf.int64, "weight": tf.float32, "share": tf.float32, "row": tf.int32}
    return {name: tf.TensorSpec([size], kind) for name, kind in kinds.items()}


def from_python(
    stage: str,
    function: Callable[..., tuple[np.ndarray, ...]],
    element: tf.Tensor | Sequence[tf.Tensor],
    specs: dict[str, tf.TensorSpec],
) -> Tensors:
    """Tensors of the arrays that `function` returns for a number, or for several, named and shaped
    by `specs`.

    A trace attributes the time to `stage`.
    """
    kinds = [spec.dtype for spec in specs.values()]
    with tf.name_scope(stage):
        numbers = [*element] if isinstance(element, Sequence) else [element]
        parts = tf.numpy_function(lambda *each: function(*map(int, each)), numbers, kinds)
    for part, spec in zip(parts, specs.values(), strict=True):
        part.set_shape(spec.shape)
    return dict(zip(specs, parts, strict=True))
