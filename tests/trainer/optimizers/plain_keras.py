"""A training by plain Keras, one replica and eager, to compare ours with."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from tests.trainer import datasets
from tests.trainer.conftest import strategy
from tests.trainer.workers.double_precision import (
    in_float64,
    session_in_float64,
    steps_in_float64,
)
from trainer.data.dataset import load_manifest
from trainer.data.order import ReplicaSlice
from trainer.data.reader import open_reader

STEPS = 50


def configured(**changes: Any) -> Any:
    """A classifier without random layers."""
    plain = {
        "model__backbone": "mlp",
        "model__dropout": 0.0,
        "optimizer__name": "sgd",
        "optimizer__learning_rate": 0.1,
    }
    return datasets.configuration(datasets.CLASSIFICATION, **{**plain, **changes})


def trained(config: Any, data: str, replicas: int, steps: int = STEPS) -> Any:
    """The session after so many steps of a training, in float64."""
    session = session_in_float64(config, data, strategy(replicas))
    for _ in steps_in_float64(session, data, steps):
        pass
    return session


def weights_of(model: Any) -> list[Any]:
    """Those that train."""
    return [weight.numpy() for weight in model.trainable_variables]


def ours(config: Any, data: str, replicas: int, steps: int = STEPS) -> list[Any]:
    """The weights after so many steps of a training, in float64."""
    return weights_of(trained(config, data, replicas, steps).model)


def batches(config: Any, data: str) -> Iterator[Any]:
    """Those of a training, whole."""
    reader = open_reader(data, load_manifest(data), "train", config, training=True)
    return iter(reader.dataset(0, ReplicaSlice(0, 1, 1)))


def plain_model(config: Any, data: str) -> Any:
    """The model that a training begins with, under no strategy."""
    return in_float64(session_in_float64(config, data, strategy(1)).model)


def plain(
    config: Any,
    data: str,
    update: Callable[[list[Any], list[Any]], None],
    steps: int = STEPS,
) -> list[Any]:
    """The same by `update(gradients, variables)` with the gradients of Keras's own loss."""
    model = plain_model(config, data)
    entropy = tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    found = batches(config, data)
    for _ in range(steps):
        batch = next(found)
        with tf.GradientTape() as tape:
            logits = model(tf.cast(batch["image"], tf.float64), training=True)
            loss = entropy(batch["label"], logits, sample_weight=batch["weight"])
            # Of the records, without the padding of a pass's last batch.
            loss *= len(batch["weight"]) / np.sum(batch["weight"])
        update(tape.gradient(loss, model.trainable_variables), model.trainable_variables)
    return weights_of(model)


def check_equal(one: list[Any], other: list[Any], rtol: float = 1e-5) -> None:
    """Asserts that weights are equal, to the rounding of losses that are float32."""
    for left, right in zip(one, other, strict=True):
        np.testing.assert_allclose(left, right, rtol=0, atol=rtol * np.abs(right).max() + 1e-7)
