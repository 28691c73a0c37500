"""The functions of a step that TensorFlow traces: training on a batch, and predicting for one."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import TypeAlias

import tensorflow as tf

from trainer.data.rows import Tensors
from trainer.models.build_mixing import Judge, check_pairs
from trainer.models.generators import generators, key_by_step
from trainer.models.randomness import keyed
from trainer.monitoring.stages import LOSS_SCOPE, UPDATE_SCOPE
from trainer.optimizers.clipping import apply_clipped, apply_summed, clip_function
from trainer.tasks.task import Task
from trainer.training.session import Session

StepResult: TypeAlias = "tuple[tf.Tensor, tf.Tensor]"  # sums, records
OneStep: TypeAlias = Callable[[Tensors], StepResult]
ManySteps: TypeAlias = "Callable[[Iterator[Tensors], tf.Tensor], StepResult]"
Outputs: TypeAlias = "tuple[tf.Tensor, tf.Tensor]"  # outputs, losses


def sum_names(task: Task) -> list[str]:
    """What a training step sums up over rows; of each figure of a part (part, whole)."""
    figures = [name for figure in task.kind.part_figures for name in (figure, f"{figure} of")]
    return ["loss", "weight", "right", "counted", *figures]


def train_functions(session: Session, before: int = 0) -> tuple[OneStep, ManySteps]:
    """Two tf.functions: (batch) and (iterator, steps int32) -> (sums, records).

    Sums are those of sum_names(), float32, over the rows of the global batch, each with the same
    weight. The sum over a replica's rows of share * loss is its part of the mean over the global
    batch (a weighted mean if the task has factors); the optimizer sums gradients over replicas.
    Records are
    int64[steps, rows], for the rows that this process feeds, -1 for padding; [steps, 0] without
    `data.log_records`. With accumulation, a step adds to its sums, and only the last of an
    update's steps moves the weights.

    Args:
      session: with its optimizer.
      before: steps of earlier stages, which the optimizer does not count.
    """
    task, model, config = session.task, session.model, session.config
    optimizer = model.optimizer
    scaled = isinstance(optimizer, tf.keras.mixed_precision.LossScaleOptimizer)
    forward = tf.function(model, jit_compile=True) if config.jit_compile else model
    replicas = session.strategy.num_replicas_in_sync
    if session.mixers:
        check_pairs(config.batch_size, replicas)
    inside = generators(model, config.seed)
    clip, accumulation = clip_function(config.optimizer), session.accumulation
    look = session.gradient_norms.keep if session.gradient_norms else None

    def replica_step(batch: Tensors) -> tf.Tensor:
        mixture = session.mixture(batch["weight"])
        judge, mix = (mixture, mixture.pictures) if mixture else (task, None)
        with keyed_by_step(session, inside, batch["row"], before):
            with tf.GradientTape() as tape:
                outputs = task.outputs(
                    forward,
                    session.augmentation,
                    batch["image"],
                    training=True,
                    augment=True,
                    mix=mix,
                )
                with tf.name_scope(LOSS_SCOPE):
                    losses = judge.loss(outputs, batch)
                    if accumulation:  # divided by their sum at the update
                        shares = _weights(judge, batch) / config.batch_size
                    else:
                        shares = _shares(judge, batch)
                    loss = tf.reduce_sum(judge.minimized(losses, outputs, batch) * shares)
                    if model.losses:  # weight decay of layers: equal on all replicas
                        penalty = tf.add_n(model.losses)
                        if accumulation:
                            loss += penalty * tf.reduce_sum(shares)
                        else:
                            loss += penalty / replicas
                    objective = optimizer.get_scaled_loss(loss) if scaled else loss
            variables = model.trainable_variables
            gradients = tape.gradient(objective, variables)
            if scaled:
                gradients = optimizer.get_unscaled_gradients(gradients)
            with tf.name_scope(UPDATE_SCOPE):
                if accumulation:
                    accumulation.add(gradients, tf.reduce_sum(shares))
                elif clip or look:
                    apply_clipped(optimizer, gradients, variables, clip, look)
                else:
                    optimizer.apply_gradients(zip(gradients, variables, strict=True))
        right, counted = judge.hits(outputs, batch)
        weight = batch["weight"]
        if right.dtype == tf.bool:
            right = tf.logical_and(right, counted)
        hit = tf.cast(right, weight.dtype)
        sums = [losses, tf.ones_like(weight), hit, tf.cast(counted, weight.dtype)]
        for part, whole in judge.part_sums(outputs, batch):
            sums += [part, whole]
        return tf.stack([tf.reduce_sum(column * weight) for column in sums])

    def replica_update() -> None:
        assert accumulation
        with tf.name_scope(UPDATE_SCOPE):
            gradients, variables = accumulation.means(), model.trainable_variables
            if look:
                look(gradients, variables)
            apply_summed(optimizer, clip(gradients) if clip else gradients, variables)

    def on_all_replicas(batch: Tensors) -> StepResult:
        results = session.strategy.run(replica_step, args=(batch,))
        if accumulation:
            accumulation.update_when_full(lambda: session.strategy.run(replica_update))
        sums = session.strategy.reduce(tf.distribute.ReduceOp.SUM, results, axis=None)
        return sums, _records(session, batch)

    @tf.function
    def several(iterator: Iterator[Tensors], steps: tf.Tensor) -> StepResult:
        total = tf.zeros([len(sum_names(task))])
        seen = tf.TensorArray(tf.int64, steps, element_shape=[None])
        for step in tf.range(steps):
            sums, records = on_all_replicas(next(iterator))
            total += sums
            seen = seen.write(step, records[0])
        return total, seen.stack()

    return tf.function(on_all_replicas), several


@contextlib.contextmanager
def keyed_by_step(
    session: Session,
    inside: list[tuple[tf.random.Generator, int]],
    rows: tf.Tensor,
    before: int = 0,
) -> Iterator[None]:
    """Every random number drawn inside belongs to the optimizer's next step.

    Args:
      session: with its optimizer.
      inside: generators() of its model.
      rows: int32[b], those of the batch that this replica has.
      before: steps of earlier stages, which the optimizer does not count.
    """
    config, accumulation = session.config, session.accumulation
    step, size = session.model.optimizer.iterations, config.batch_size
    draws = step
    if accumulation:
        draws = accumulation.step(step)
        rows, size = accumulation.rows(rows, size)
    if before:  # no stage repeats the random numbers of another
        draws += before
        step += -(-before // config.optimizer.accumulate_steps)
    key_by_step(inside, draws)
    with keyed(config.seed, step, rows, size):
        yield


def _shares(judge: Judge, batch: Tensors) -> tf.Tensor:
    """float32[b]: the weight of each of a replica's records in the mean over the global batch."""
    if judge.factors(batch) is None:
        return batch["share"]
    factors = _weights(judge, batch)
    total = tf.distribute.get_replica_context().all_reduce(
        tf.distribute.ReduceOp.SUM, tf.reduce_sum(factors)
    )
    return tf.math.divide_no_nan(factors, total)  # if all weights are 0, so is the gradient


def _weights(judge: Judge, batch: Tensors) -> tf.Tensor:
    """float32[b]: how much each of a replica's records counts in the loss, 0 for padding."""
    factors = judge.factors(batch)
    if factors is None:
        return batch["weight"]
    return tf.cast(factors, batch["weight"].dtype) * batch["weight"]


def _records(session: Session, batch: Tensors) -> tf.Tensor:
    """int64[1, rows]: the records of a batch, replica after replica, -1 for padding."""
    if not session.config.data.log_records:
        return tf.zeros([1, 0], tf.int64)
    local = session.strategy.experimental_local_results
    parts = zip(local(batch["record"]), local(batch["weight"]), strict=True)
    return tf.concat([tf.where(weight > 0, record, -1) for record, weight in parts], 0)[tf.newaxis]


def predict_function(
    session: Session, augment: bool = False, draw_rows: int = 0
) -> Callable[[Tensors, tf.Tensor], Outputs]:
    """A tf.function (batch, draw int64) -> (outputs, losses), per replica, without training.

    With `augment`, the on-device layers draw random numbers: test-time augmentation `draw`. With
    `draw_rows`, they follow from the number of a record modulo it, not from the size of a batch.
    """
    config, task = session.config, session.task

    def replica_step(batch: Tensors, draw: tf.Tensor) -> Outputs:
        rows, size = batch["row"], config.batch_size
        if draw_rows:
            rows, size = tf.cast(batch["record"] % draw_rows, tf.int32), draw_rows
        with keyed(config.seed, draw, rows, size):
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
