"""What only a real step tells: shapes, the range of the pixels, the loss, and how long it takes."""

from __future__ import annotations

import dataclasses
import time
from typing import Any

import numpy as np
import tensorflow as tf

from trainer.data.open_input import OpenInput
from trainer.data.order import ReplicaSlice
from trainer.data.reader import Reader
from trainer.data.rows import Tensors
from trainer.models.build_backbone import BACKBONE
from trainer.models.pixels import RANGES
from trainer.models.randomness import keyed
from trainer.training.evaluation import read_error
from trainer.training.session import Session
from trainer.training.step_functions import predict_function, train_functions
from trainer.workers import devices

# Steps timed once the step is compiled and warm: some seconds' worth.
FEWEST_STEPS, MOST_STEPS, TIMED_SECONDS = 3, 20, 3.0


@dataclasses.dataclass(frozen=True)
class Timing:
    """Steps after the first: seconds of one, waiting for the batch included and apart; and when the
    first was done, in seconds since 1970.
    """

    losses: list[float]
    moved: bool
    step_seconds: float
    wait_seconds: float
    first_done: float


def training_steps(session: Session, reader: Reader) -> tuple[Timing, Tensors]:
    """Trains a few steps; returns what they showed, and the first batch as it was stored.

    The session has its optimizer by now. Its weights change.

    Raises:
      DataError: a shard is damaged. ConfigError: out of memory.
    """
    before = [weight.numpy() for weight in session.model.trainable_variables]
    train, _ = train_functions(session)
    try:
        with _batches(session, reader) as batches:
            first = next(batches)
            losses = [_loss(train(first))]
            first_done = time.time()
            for _ in range(1, session.config.optimizer.accumulate_steps):  # which moves the weights
                train(next(batches))
            moved = any(
                not np.array_equal(was, weight.numpy())
                for was, weight in zip(before, session.model.trainable_variables, strict=True)
            )
            train(next(batches))  # warm: the first call of a compiled step is slow once more
            seconds: list[float] = []
            waits: list[float] = []
            while len(seconds) < MOST_STEPS:
                started = time.perf_counter()
                batch = next(batches)
                waits.append(time.perf_counter() - started)
                losses.append(_loss(train(batch)))
                seconds.append(time.perf_counter() - started)
                if len(seconds) >= FEWEST_STEPS and sum(seconds) > TIMED_SECONDS:
                    break
    except tf.errors.OpError as error:
        raise read_error(reader, error) from error
    timing = Timing(
        [losses[0], losses[-1]],
        moved,
        float(np.median(seconds)),
        float(np.median(waits)),
        first_done,
    )
    return timing, session.strategy.experimental_local_results(first)[0]


def forward_seconds(session: Session, reader: Reader) -> float:
    """Seconds of measuring one batch of a split, once it is compiled."""
    predict = predict_function(session)
    try:
        with _batches(session, reader) as batches:
            batch = next(batches)
        draw = tf.constant(0, tf.int64)
        predict(batch, draw)
        started = time.perf_counter()
        outputs, _ = predict(batch, draw)
        for part in session.strategy.experimental_local_results(outputs):
            part.numpy()
        return time.perf_counter() - started
    except tf.errors.OpError as error:
        raise read_error(reader, error) from error


def pixel_range(session: Session, batch: Tensors) -> tuple[str, Any, tuple[float, float]]:
    """The name of the range a backbone wants, its bounds, and the lowest and highest value that
    a batch of one replica has where it enters the backbone, after the on-device layers.
    """
    images = tf.reshape(batch["image"], tf.concat([[-1], tf.shape(batch["image"])[-3:]], 0))
    # As in training: the layers draw by row, a triplet's three pictures belong to one.
    with keyed(session.config.seed, 0, batch["row"], session.config.batch_size):
        seen = session.task.pixels(session.augmentation, images, augment=True)
    layer = session.model.get_layer(BACKBONE).get_layer("range")
    values = layer(seen).numpy()
    _, mean, deviation = RANGES[layer.range]
    mean, deviation = np.asarray(mean), np.asarray(deviation)
    bounds = (float(((0 - mean) / deviation).min()), float(((255 - mean) / deviation).max()))
    return layer.range, bounds, (float(values.min()), float(values.max()))


def _batches(session: Session, reader: Reader) -> OpenInput:
    def dataset(part: ReplicaSlice) -> tf.data.Dataset:
        return reader.dataset(0, part)

    return OpenInput(devices.distribute(session.strategy, dataset, endless=True))


def _loss(result: tf.Tensor) -> float:
    """The mean loss of a step; waits until it is done."""
    sums = tf.nest.flatten(result)[0].numpy()
    return float(sums[0] / sums[1])
