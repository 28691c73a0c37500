"""Sessions whose model computes in float64, and their training steps."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import tensorflow as tf

from trainer.data.dataset import load_manifest
from trainer.data.reader import open_reader
from trainer.training.session import Session, add_optimizer, session_for
from trainer.training.step_functions import train_functions
from trainer.workers import devices

# How far apart the losses of two runs of few steps in float32 may be that add in another order, of
# themselves. A sum of n terms is off by n * 6e-8 at most, 3e-4 for the 4,600 places that a weight
# of the tests' convolutions is summed over; the steps after it make that more, on some processors
# thirty times as much. Dense layers sum over fewer, and plain SGD does not magnify it.
FLOAT32, FLOAT32_DENSE = 1e-2, 1e-3


def in_float64(model: Any) -> Any:
    """The same model with the same weights, its layers of dtype float64."""

    def clone(layer: Any) -> Any:
        if isinstance(layer, tf.keras.Model):
            return in_float64(layer)
        return type(layer).from_config({**layer.get_config(), "dtype": "float64"})

    copy = tf.keras.models.clone_model(model, clone_function=clone)
    copy.set_weights(model.get_weights())
    assert all(weight.dtype == tf.float64 for weight in copy.weights)
    return copy


def initial_session(config: Any, data: str, strategy: Any) -> Session:
    """The session that a training begins with: the weights are those of its seed."""
    tf.keras.utils.set_random_seed(config.seed)
    return session_for(config, strategy, load_manifest(data), print, weights=False)


def session_in_float64(config: Any, data: str, strategy: Any) -> Session:
    """The same with a model in float64."""
    session = initial_session(config, data, strategy)
    with strategy.scope():
        return dataclasses.replace(session, model=in_float64(session.model))


def steps_in_float64(session: Session, data: str, count: int) -> Iterator[Any]:
    """The first steps of a training: (sums, records) of each, the model as it is after it."""
    add_optimizer(session, count)
    train, _ = train_functions(session)
    manifest = load_manifest(data)
    reader = open_reader(data, manifest, "train", session.config, training=True)

    def batches(part: Any) -> Any:
        return reader.dataset(0, part).map(
            lambda batch: {
                name: tf.cast(values, tf.float64) if values.dtype == tf.float32 else values
                for name, values in batch.items()
            }
        )

    iterator = iter(devices.distribute(session.strategy, batches, endless=True))
    for _ in range(count):
        sums, records = train(next(iterator))
        yield sums.numpy(), records.numpy()
