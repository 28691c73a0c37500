"""A model's outputs for the records of a split, and float64 figures computed from them."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from preprocess.shell.errors import DataError

Floats = NDArray[np.float64]


@dataclasses.dataclass(frozen=True)
class Outputs:
    """The outputs for the records of a split, in stored order.

    values: float64[N,F]: what metrics are computed from, such as squared distances or logits.
    targets: [N,...]: what they are compared with, such as votes or labels.
    records: int64[N].
    """

    values: Floats
    targets: np.ndarray
    records: NDArray[np.int64]


def mean_of(outputs: Sequence[Outputs], values: Sequence[Floats]) -> Outputs:
    """Combines several Outputs of the same records by the mean of `values`.

    Raises:
      DataError: they have different records.
    """
    first = outputs[0]
    for other in outputs[1:]:
        if not np.array_equal(first.records, other.records):
            raise DataError("the runs were measured on different records")
    return dataclasses.replace(first, values=np.mean(values, axis=0))


def softmax(logits: Floats) -> Floats:
    """Probabilities over the last axis."""
    shifted = np.exp(logits - logits.max(-1, keepdims=True))
    probabilities: Floats = shifted / shifted.sum(-1, keepdims=True)
    return probabilities


def sigmoid(logits: Floats) -> Floats:
    """The independent probability of each logit."""
    small = np.exp(-np.abs(logits))  # at most 1, so nothing overflows
    probabilities: Floats = np.where(logits >= 0, 1, small) / (1 + small)
    return probabilities
