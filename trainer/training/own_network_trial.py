"""Tries a step of a network that has parts of the user's own, before it is trained."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TypeAlias

import numpy as np
import tensorflow as tf

from preprocess.shell.errors import ConfigError, first_line
from trainer.config.own_code import blamed
from trainer.data.rows import Tensors
from trainer.models.generators import generators, key_by_step
from trainer.models.own_parts import OwnLayer
from trainer.models.randomness import keyed
from trainer.training.session import Session

SHOWN_WEIGHTS = 3

Traced: TypeAlias = "tf.types.experimental.ConcreteFunction"


def try_network(session: Session, batch: Tensors, keys: Mapping[str, str]) -> None:
    """Tries a training step, without updating anything, twice, and saving and restoring.

    Args:
      session: whose weights and statistics are afterwards what they were.
      batch: of one replica.
      keys: those that are the user's own, with their references.

    Raises:
      ConfigError: an output or a gradient is missing, not finite or not repeated; a weight does
        not belong to the model, or is not restored.
    """
    key = " and ".join(keys)
    value = ", ".join(keys.values())
    with blamed(key, value):
        _check_described(session, key, value)
        with _weights_kept(session.model):
            step, missing = _step(session, batch)
            outputs, finite = _local(session, step())
        with _weights_kept(session.model):  # a statistic may have changed what comes next
            again, _ = _local(session, step())
            _check_known(session, step, key, value)
        for what, good in zip(("outputs", "gradients"), finite.numpy(), strict=True):
            if not good:
                raise ConfigError(
                    f"{key}={value}: its {what} are NaN or infinite on a batch of noise; look at "
                    "logarithms, divisions, roots of 0 and the size of first weights"
                )
        if not np.array_equal(outputs.numpy(), again.numpy()):
            raise ConfigError(
                f"{key}={value} returns another result when called again: it draws random numbers "
                "that a restart could not repeat; use layers of Keras, or KeyedLayer"
            )
        if missing:
            names = ", ".join(missing[:SHOWN_WEIGHTS])
            raise ConfigError(
                f"{key}={value}: no gradient reaches {len(missing)} of its weights ({names}); "
                "have them contribute to the outputs, or set trainable=False"
            )
        with _weights_kept(session.model):
            _check_restored(session, key, value)


def try_layers(session: Session, batch: Tensors) -> None:
    """Tries each of the user's on-device layers; raises ConfigError as try_network()."""
    config = session.config
    image = batch["image"]
    pictures = tf.cast(tf.reshape(image, tf.concat([[-1], tf.shape(image)[-3:]], 0)), tf.float32)
    rows = batch["row"]
    a_row = int(pictures.shape[0]) // int(rows.shape[0])
    for layer in session.augmentation.own:
        key, reference = "augment.layers", layer.reference

        @tf.function
        def act(images: tf.Tensor, numbers: tf.Tensor, layer: OwnLayer = layer) -> tf.Tensor:
            with keyed(config.seed, 0, numbers, config.batch_size):
                return layer(images, training=True)

        with blamed(key, reference, "layer(images, training=True)"):
            found, again = act(pictures, rows), act(pictures, rows)
            half = act(pictures[:a_row], rows[:1])
        _check_pictures(found, pictures, reference)
        if layer.layer.weights:
            raise ConfigError(
                f"{key}={reference} has weights; an on-device layer is not trained and has none"
            )
        if not np.array_equal(found.numpy(), again.numpy()) or not np.allclose(
            found[:a_row].numpy(), half.numpy(), atol=0.01
        ):
            raise ConfigError(
                f"{key}={reference} draws random numbers of its own, which neither a restart nor "
                "another number of replicas could repeat: subclass trainer.models.layers.base."
                "KeyedLayer and use self.draw"
            )


def _check_pictures(found: object, given: tf.Tensor, reference: str) -> None:
    key, channels = "augment.layers", int(given.shape[-1])
    wanted = f"float32[{given.shape[0]},H,W,{channels}], pictures of 0 to 255"
    if not isinstance(found, tf.Tensor):
        raise ConfigError(
            f"{key}={reference} returns a {type(found).__name__}; it must return {wanted}"
        )
    shape = found.shape
    same = shape.rank == 4 and shape[0] == given.shape[0] and shape[-1] == channels
    if found.dtype != tf.float32 or not same:
        given_words = f"{found.dtype.name}{list(shape)}"
        raise ConfigError(f"{key}={reference} returns {given_words}; it must return {wanted}")
    if not np.isfinite(found.numpy()).all():
        raise ConfigError(f"{key}={reference} returns numbers that are NaN or infinite")


def _check_described(session: Session, key: str, value: str) -> None:
    """Raises ConfigError if a layer has no description to save with the states."""
    try:
        _ = session.graphs
    except (NotImplementedError, TypeError) as error:
        reason = first_line(error)[:200]
        raise ConfigError(
            f"{key}={value}: a layer of it cannot be described in a saved state ({reason}); "
            "add get_config() to its class"
        ) from None


def _step(session: Session, batch: Tensors) -> tuple[Traced, list[str]]:
    """The traced step, () -> (outputs, [whether they, and gradients, are finite]) per replica, and
    the weights that no gradient reaches.
    """
    config, task, model = session.config, session.task, session.model
    inside = generators(model, config.seed)
    missing: list[str] = []

    def replica_step() -> tuple[tf.Tensor, tf.Tensor]:
        zero = tf.zeros([], tf.int64)
        key_by_step(inside, zero)
        with keyed(config.seed, zero, batch["row"], config.batch_size):
            with tf.GradientTape() as tape:
                outputs = task.outputs(
                    model, session.augmentation, batch["image"], training=True, augment=True
                )
                loss = tf.reduce_sum(task.loss(outputs, batch) * batch["share"])
                if model.losses:
                    loss += tf.add_n(model.losses)
            variables = model.trainable_variables
            gradients = tape.gradient(loss, variables)
        pairs = list(zip(gradients, variables, strict=True))
        missing[:] = [variable.name for gradient, variable in pairs if gradient is None]
        finite = [_finite([outputs]), _finite([each for each in gradients if each is not None])]
        return tf.cast(outputs, tf.float32), tf.stack(finite)

    @tf.function
    def step() -> tuple[tf.Tensor, tf.Tensor]:
        return session.strategy.run(replica_step)

    return step.get_concrete_function(), missing


def _finite(tensors: list[tf.Tensor]) -> tf.Tensor:
    values = [each.values if isinstance(each, tf.IndexedSlices) else each for each in tensors]
    return tf.reduce_all([tf.reduce_all(tf.math.is_finite(each)) for each in values])


def _local(session: Session, results: tuple[tf.Tensor, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
    """Those of the first replica of this process."""
    outputs, finite = (session.strategy.experimental_local_results(each)[0] for each in results)
    return outputs, finite


def _check_known(session: Session, step: Traced, key: str, value: str) -> None:
    """Raises ConfigError where the step uses weights that are not the model's."""
    known = {id(part.handle) for part in _parts(session.model.variables)}
    strange = [
        variable.name
        for variable in _parts(step.graph.variables)
        if variable.trainable and id(variable.handle) not in known
    ]
    if strange:
        raise ConfigError(
            f"{key}={value}: the weight {strange[0]} is not part of the model, so it would neither "
            "be trained nor saved; make it in a layer of Keras, by add_weight()"
        )


def _check_restored(session: Session, key: str, value: str) -> None:
    """Raises ConfigError where a weight is not what it was after a state is saved and restored."""
    model = session.model
    before = [part.numpy() for part in _parts(model.weights)]
    with tempfile.TemporaryDirectory(prefix="trial-") as folder:
        prefix = os.path.join(folder, "state")
        tf.train.Checkpoint(model=model).write(prefix)
        for part in _parts(model.weights):
            part.assign(tf.zeros_like(part))
        tf.train.Checkpoint(model=model).read(prefix).expect_partial()
    names = [part.name for part in _parts(model.weights)]
    after = [part.numpy() for part in _parts(model.weights)]
    lost = [n for n, a, b in zip(names, before, after, strict=True) if not np.array_equal(a, b)]
    if lost:
        raise ConfigError(
            f"{key}={value}: the weight {lost[0]} is not restored from a saved state; make it in "
            "build() or __init__() of a layer of Keras, by add_weight()"
        )


def _parts(variables: list[tf.Variable]) -> Iterator[tf.Variable]:
    """A variable of each replica."""
    for variable in variables:
        yield from getattr(variable, "values", None) or [variable]


@contextmanager
def _weights_kept(model: tf.keras.Model) -> Iterator[None]:
    """Weights and statistics, which differ between replicas, are afterwards what they were."""
    before = [part.numpy() for part in _parts(model.weights)]
    try:
        yield
    finally:
        for part, array in zip(_parts(model.weights), before, strict=True):
            part.assign(array)
