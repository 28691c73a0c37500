"""Model, optimizer and layers of one configuration, built under one strategy."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias

import numpy as np
import tensorflow as tf

from preprocess.dataset_format import Manifest, Target
from trainer.config.keys import Config
from trainer.config.task_table import check_same_task
from trainer.data.rows import Tensors
from trainer.models import build_model
from trainer.models.build_augmentation import build_augmentation
from trainer.models.generators import generators, key_by_step
from trainer.models.randomness import keyed
from trainer.models.saved_graph import graphs_of
from trainer.monitoring.stages import UPDATE_SCOPE
from trainer.optimizers import build_optimizer
from trainer.optimizers.averages import Averages
from trainer.tasks.task import Task, make_task

# Sums over rows that a training step returns: loss, weight, right, counted.
SUMS = 4

StepResult: TypeAlias = "tuple[tf.Tensor, tf.Tensor]"  # sums, records
OneStep: TypeAlias = Callable[[Tensors], StepResult]
ManySteps: TypeAlias = "Callable[[Iterator[Tensors], tf.Tensor], StepResult]"
Outputs: TypeAlias = "tuple[tf.Tensor, tf.Tensor]"  # outputs, losses


@dataclasses.dataclass(frozen=True)
class Session:
    """What a training step needs."""

    config: Config
    strategy: tf.distribute.Strategy
    task: Task
    model: tf.keras.Model
    augmentation: tf.keras.layers.Layer

    @functools.cached_property
    def graphs(self) -> dict[str, str]:
        """The fingerprints of the model and its backbone, which its states carry."""
        return graphs_of(self.model)

    @functools.cached_property
    def averages(self) -> Averages:
        """Of the weights, where the optimizer keeps some."""
        return Averages(self.model)

    def weights_digest(self) -> str:
        """sha256 over all weights, moving statistics included, in layer order."""
        found = hashlib.sha256()
        for weight in self.model.weights:
            found.update(np.ascontiguousarray(weight.numpy()).tobytes())
        return found.hexdigest()


def build_session(
    config: Config,
    strategy: tf.distribute.Strategy,
    dataset_task: str,
    classes: Sequence[str] = (),
    say: Callable[[str], None] = lambda _: None,
    *,
    weights: bool = True,
    targets: Sequence[Target] = (),
) -> Session:
    """Builds the model; raises ConfigError where task and dataset do not fit.

    `classes` and `targets` are the dataset's; `say` and `weights` are those of build_model().
    """
    check_same_task(config.task, dataset_task)
    task = make_task(config, classes, targets)
    with strategy.scope():
        augmentation = build_augmentation(config.augment)
        model = build_model(config, task.head, say, weights=weights)
    return Session(config, strategy, task, model, augmentation)


def session_for(
    config: Config,
    strategy: tf.distribute.Strategy,
    manifest: Manifest,
    say: Callable[[str], None],
    *,
    weights: bool,
) -> Session:
    """build_session() for a dataset."""
    return build_session(
        config,
        strategy,
        manifest.task,
        manifest.classes,
        say,
        weights=weights,
        targets=manifest.targets,
    )


def add_optimizer(session: Session, total_steps: int) -> tf.keras.optimizers.Optimizer:
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


def optimizer_variables(optimizer: tf.keras.optimizers.Optimizer) -> list[tf.Variable]:
    """Every slot and counter: an attribute of Keras's optimizers, a method of the older kind."""
    found = optimizer.variables
    return list(found() if callable(found) else found)


def finite_function(session: Session) -> Callable[[], tf.Tensor]:
    """A tf.function that tells whether every weight and every slot of the optimizer is finite."""

    @tf.function
    def all_finite() -> tf.Tensor:
        variables = [*session.model.weights, *optimizer_variables(session.model.optimizer)]
        finite = [tf.reduce_all(tf.math.is_finite(v)) for v in variables if v.dtype.is_floating]
        return tf.reduce_all(tf.stack(finite))

    return all_finite


def train_functions(session: Session) -> tuple[OneStep, ManySteps]:
    """Two tf.functions: (batch) and (iterator, steps int32) -> (sums, records).

    Sums are float32[SUMS] over the rows of the global batch, each of which counts the same in them.
    The sum over the rows of a replica of share * loss is its part of the mean over the global
    batch, which is weighted where the task has factors;
    gradients are summed over replicas by the optimizer. Records are int64[steps, rows], of the
    rows this process feeds, -1 for padding; [steps, 0] unless `data.log_records`.
    """
    task, model, config = session.task, session.model, session.config
    optimizer = model.optimizer
    scaled = isinstance(optimizer, tf.keras.mixed_precision.LossScaleOptimizer)
    forward = tf.function(model, jit_compile=True) if config.jit_compile else model
    replicas = session.strategy.num_replicas_in_sync
    inside = generators(model, config.seed)

    def replica_step(batch: Tensors) -> tf.Tensor:
        key_by_step(inside, optimizer.iterations)
        with keyed(config.seed, optimizer.iterations, batch["row"], config.batch_size):
            with tf.GradientTape() as tape:
                outputs = task.outputs(
                    forward, session.augmentation, batch["image"], training=True, augment=True
                )
                losses = task.loss(outputs, batch)
                loss = tf.reduce_sum(losses * _shares(task, batch))
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
        if right.dtype == tf.bool:
            right = tf.logical_and(right, counted)
        hit = tf.cast(right, weight.dtype)
        sums = [losses * weight, weight, hit * weight, tf.cast(counted, weight.dtype) * weight]
        return tf.stack([tf.reduce_sum(column) for column in sums])

    def on_all_replicas(batch: Tensors) -> StepResult:
        results = session.strategy.run(replica_step, args=(batch,))
        sums = session.strategy.reduce(tf.distribute.ReduceOp.SUM, results, axis=None)
        return sums, _records(session, batch)

    @tf.function
    def several(iterator: Iterator[Tensors], steps: tf.Tensor) -> StepResult:
        total = tf.zeros([SUMS])
        seen = tf.TensorArray(tf.int64, steps, element_shape=[None])
        for step in tf.range(steps):
            sums, records = on_all_replicas(next(iterator))
            total += sums
            seen = seen.write(step, records[0])
        return total, seen.stack()

    return tf.function(on_all_replicas), several


def _shares(task: Task, batch: Tensors) -> tf.Tensor:
    """float32[b]: the part of each record of a replica in the mean over the global batch."""
    factors = task.factors(batch)
    if factors is None:
        return batch["share"]
    factors = tf.cast(factors, batch["weight"].dtype) * batch["weight"]
    total = tf.distribute.get_replica_context().all_reduce(
        tf.distribute.ReduceOp.SUM, tf.reduce_sum(factors)
    )
    return tf.math.divide_no_nan(factors, total)  # where all weigh nothing there is no gradient


def _records(session: Session, batch: Tensors) -> tf.Tensor:
    """int64[1, rows]: which records a batch has, replica after replica, -1 for padding."""
    if not session.config.data.log_records:
        return tf.zeros([1, 0], tf.int64)
    local = session.strategy.experimental_local_results
    parts = zip(local(batch["record"]), local(batch["weight"]), strict=True)
    return tf.concat([tf.where(weight > 0, record, -1) for record, weight in parts], 0)[tf.newaxis]


def predict_function(
    session: Session, augment: bool = False
) -> Callable[[Tensors, tf.Tensor], Outputs]:
    """A tf.function (batch, draw int64) -> (outputs, losses), per replica, without training.

    With `augment` the on-device layers draw: test-time augmentation number `draw`.
    """
    config, task = session.config, session.task

    def replica_step(batch: Tensors, draw: tf.Tensor) -> Outputs:
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
    def predict(batch: Tensors, draw: tf.Tensor) -> Outputs:
        return session.strategy.run(replica_step, args=(batch, draw))

    return predict
