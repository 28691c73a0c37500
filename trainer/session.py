"""Model, optimizer and layers of one configuration, built under one strategy."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from preprocess.dataset_format import CLASSIFICATION, Manifest
from trainer.errors import ConfigError
from trainer.generators import generators, key_by_step
from trainer.layers import build_augmentation
from trainer.models import build_model
from trainer.optimizers import build_optimizer
from trainer.randomness import keyed
from trainer.stages import UPDATE_SCOPE
from trainer.task import Task

# Sums over rows that a training step returns: loss, weight, right, counted.
SUMS = 4


@dataclasses.dataclass(frozen=True)
class Session:
    """What a training step needs."""

    config: Any
    strategy: Any
    task: Task
    model: Any
    augmentation: Any

    def weights_digest(self) -> str:
        """sha256 over all weights, moving statistics included, in layer order."""
        found = hashlib.sha256()
        for weight in self.model.weights:
            found.update(np.ascontiguousarray(weight.numpy()).tobytes())
        return found.hexdigest()


def build_session(
    config: Any,
    strategy: Any,
    manifest_task: str,
    classes: int,
    say: Callable[[str], None] = lambda _: None,
    *,
    weights: bool = True,
) -> Session:
    """Builds the model; raises ConfigError where task and dataset do not fit.

    `say` and `weights` are those of build_model().
    """
    if config.task != manifest_task:
        raise ConfigError(f"task={config.task}, but the dataset is for task={manifest_task}")
    with strategy.scope():
        augmentation = build_augmentation(config.augment)
        several = classes if manifest_task == CLASSIFICATION else None
        model = build_model(config, several, say, weights=weights)
    task = Task(config.task, config.loss.delta, config.image_size)
    return Session(config, strategy, task, model, augmentation)


def session_for(
    config: Any, strategy: Any, manifest: Manifest, say: Callable[[str], None], *, weights: bool
) -> Session:
    """build_session() for a dataset."""
    classes = len(manifest.classes)
    return build_session(config, strategy, manifest.task, classes, say, weights=weights)


def add_optimizer(session: Session, total_steps: int) -> Any:
    """The optimizer, with its slots made, so that a checkpoint finds them."""
    with session.strategy.scope():
        session.model.compile(
            optimizer=build_optimizer(session.config.optimizer, total_steps), jit_compile=False
        )
        optimizer = session.model.optimizer
        if hasattr(optimizer, "build"):
            optimizer.build(session.model.trainable_variables)
        else:  # tensorflow-addons' are of Keras's older kind
            optimizer._create_all_weights(session.model.trainable_variables)
    return optimizer


def optimizer_variables(optimizer: Any) -> list[Any]:
    """Every slot and counter: an attribute of Keras's optimizers, a method of the older kind."""
    found = optimizer.variables
    return list(found() if callable(found) else found)


def finite_function(session: Session) -> Callable[[], Any]:
    """A tf.function that tells whether every weight and every slot of the optimizer is finite."""

    @tf.function
    def all_finite() -> Any:
        variables = [*session.model.weights, *optimizer_variables(session.model.optimizer)]
        finite = [tf.reduce_all(tf.math.is_finite(v)) for v in variables if v.dtype.is_floating]
        return tf.reduce_all(tf.stack(finite))

    return all_finite


def train_functions(session: Session) -> tuple[Callable[[Any], Any], Callable[[Any, Any], Any]]:
    """Two tf.functions: (batch) and (iterator, steps int32) -> (sums, records).

    Sums are float32[SUMS] over the rows of the global batch. The sum over the rows of a
    replica of share * loss is its part of the mean over the global batch;
    gradients are summed over replicas by the optimizer. Records are int64[steps, rows], of the
    rows this process feeds, -1 for padding; [steps, 0] unless `data.log_records`.
    """
    task, model, config = session.task, session.model, session.config
    optimizer = model.optimizer
    scaled = isinstance(optimizer, tf.keras.mixed_precision.LossScaleOptimizer)
    forward = tf.function(model, jit_compile=True) if config.jit_compile else model
    replicas = session.strategy.num_replicas_in_sync
    inside = generators(model, config.seed)

    def replica_step(batch: dict[str, Any]) -> Any:
        key_by_step(inside, optimizer.iterations)
        with keyed(config.seed, optimizer.iterations, batch["row"], config.batch_size):
            with tf.GradientTape() as tape:
                outputs = task.outputs(
                    forward, session.augmentation, batch["image"], training=True, augment=True
                )
                losses = task.loss(outputs, batch)
                loss = tf.reduce_sum(losses * batch["share"])
                if model.losses:  # weight decay of layers: the same on every replica
                    loss += tf.add_n(model.losses) / replicas
                objective = optimizer.get_scaled_loss(loss) if scaled else loss
            variables = model.trainable_variables
            gradients = tape.gradient(objective, variables)
            if scaled:
                gradients = optimizer.get_unscaled_gradients(gradients)
            with tf.name_scope(UPDATE_SCOPE):
                optimizer.apply_gradients(zip(gradients, variables, strict=True))
        right, counted = task.hits(outputs, batch)
        weight = batch["weight"]
        hit = tf.cast(tf.logical_and(right, counted), tf.float32)
        sums = [losses * weight, weight, hit * weight, tf.cast(counted, tf.float32) * weight]
        return tf.stack([tf.reduce_sum(column) for column in sums])

    def on_all_replicas(batch: Any) -> Any:
        results = session.strategy.run(replica_step, args=(batch,))
        sums = session.strategy.reduce(tf.distribute.ReduceOp.SUM, results, axis=None)
        return sums, _records(session, batch)

    @tf.function
    def several(iterator: Any, steps: Any) -> Any:
        total = tf.zeros([SUMS])
        seen = tf.TensorArray(tf.int64, steps, element_shape=[None])
        for step in tf.range(steps):
            sums, records = on_all_replicas(next(iterator))
            total += sums
            seen = seen.write(step, records[0])
        return total, seen.stack()

    return tf.function(on_all_replicas), several


def _records(session: Session, batch: Any) -> Any:
    """int64[1, rows]: which records a batch has, replica after replica, -1 for padding."""
    if not session.config.data.log_records:
        return tf.zeros([1, 0], tf.int64)
    local = session.strategy.experimental_local_results
    parts = zip(local(batch["record"]), local(batch["weight"]), strict=True)
    return tf.concat([tf.where(weight > 0, record, -1) for record, weight in parts], 0)[tf.newaxis]


def predict_function(session: Session, augment: bool = False) -> Callable[[Any, Any], Any]:
    """A tf.function (batch, draw int64) -> (outputs, losses), per replica, without training.

    With `augment` the on-device layers draw: test-time augmentation number `draw`.
    """
    config, task = session.config, session.task

    def replica_step(batch: dict[str, Any], draw: Any) -> tuple[Any, Any]:
        with keyed(config.seed, draw, batch["row"], config.batch_size):
            outputs = task.outputs(
                session.model,
                session.augmentation,
                batch["image"],
                training=False,
                augment=augment,
            )
        outputs = tf.cast(outputs, tf.float32)
        return outputs, task.loss(outputs, batch)

    @tf.function
    def predict(batch: dict[str, Any], draw: Any) -> Any:
        return session.strategy.run(replica_step, args=(batch, draw))

    return predict
