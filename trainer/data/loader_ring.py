"""A tf.data pipeline around the batches of a loader: a range of steps, one call each."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import tensorflow as tf

from trainer.data.decoding import RECORDS_TO_PIXELS
from trainer.data.rows import from_python
from trainer.monitoring.stages import HOST_MAP


def ring(
    batch: Callable[[int], Mapping[str, np.ndarray]],
    steps: tuple[int, int | None],
    arrays: Mapping[str, tuple[type[np.generic], tuple[int, ...]]],
    *,
    threads: int,
    ahead: int,
) -> tf.data.Dataset:
    """Dicts of tensors, one for each step, in order.

    Args:
      batch: makes the arrays of a step.
      steps: first, and last + 1; None = endless.
      arrays: dtype and shape of each array.
      threads: parallel calls.
      ahead: batches that are kept ready.
    """
    specs = {name: tf.TensorSpec(shape, kind) for name, (kind, shape) in arrays.items()}

    def made(number: int) -> tuple[np.ndarray, ...]:
        found = batch(number)
        return tuple(found[name] for name in specs)

    first, last = steps
    options = tf.data.Options()
    options.autotune.enabled = False
    # A separate pool: a call that waits for a read blocks its thread.
    options.threading.private_threadpool_size = threads + 1
    return (
        tf.data.Dataset.range(first, np.iinfo(np.int64).max if last is None else last)
        .map(
            lambda number: from_python(HOST_MAP, made, number, specs),
            num_parallel_calls=threads,
            deterministic=True,
            name=RECORDS_TO_PIXELS,
        )
        .prefetch(ahead)
        .with_options(options)
    )
