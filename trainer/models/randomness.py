"""Random numbers of a training step, as a function of (seed, step, label, row).

A number belongs to a row of the *global* batch, not to the replica that happens to hold the row:
R replicas draw what one replica would have drawn, and a run that was stopped draws on from its
step number alone, with no generator state to save.

    with keyed(seed, step, rows, global_batch):     # inside the replica's function
        outputs = model(pictures, training=True)    # layers call `uniform` with their own label

Every replica draws the numbers of the whole global batch and keeps those of its rows. The
numbers are few (a handful a picture), so this is cheaper than deriving a key for each row.

The context is thread-local because MirroredStrategy traces each replica in a thread of its own.
Enter it inside the replica's function: a `tf.function` traced within it captures the step and
the rows as tensors, so one trace serves all steps.
"""

from __future__ import annotations

import threading
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import tensorflow as tf


class NotKeyedError(RuntimeError):
    """Random numbers were asked for outside `keyed`: a fault of the calling code."""


@dataclass(frozen=True)
class _Key:
    seed: int
    step: tf.Tensor  # int64 scalar
    rows: tf.Tensor  # int32 [b]
    global_batch: int


class _Stack(threading.local):
    def __init__(self) -> None:
        self.keys: list[_Key] = []


_stack = _Stack()


@contextmanager
def keyed(seed: int, step: tf.Tensor, rows: tf.Tensor, global_batch: int) -> Iterator[None]:
    """Key the random numbers drawn inside by seed, step and row.

    Args:
      seed: the run's seed; taken modulo 2**63.
      step: int64 scalar, number of the training step (a tensor, so that a trace is not per step).
      rows: int32 [b], the rows of the global batch this replica holds, each in
        [0, global_batch). A row is what the batch counts: a picture, or a triplet.
      global_batch: rows over all replicas, padding included.
    """
    rows = tf.convert_to_tensor(rows, tf.int32)
    _stack.keys.append(_Key(seed % 2**63, tf.cast(step, tf.int64), rows, global_batch))
    try:
        yield
    finally:
        _stack.keys.pop()


def _current() -> _Key:
    if not _stack.keys:
        raise NotKeyedError(
            "random numbers are drawn only inside `randomness.keyed(seed, step, rows, "
            "global_batch)`: enter it around the call with training=True, in the same thread"
        )
    return _stack.keys[-1]


def entries_per_row(inputs: tf.Tensor) -> int | tf.Tensor:
    """How many leading entries of `inputs` belong to one row of the batch.

    1 for pictures [b, H, W, C]; 3 for the pictures of triplets flattened to [b*3, H, W, C].

    Args:
      inputs: tensor [b * n, ...], entries of one row side by side.

    Returns:
      n, an int where the shapes are static, otherwise an int32 scalar.

    Raises:
      NotKeyedError: outside `keyed`.
      ValueError: the leading dimension is no multiple of the rows.
    """
    rows = _current().rows
    entries, held = inputs.shape[0], rows.shape[0]
    if entries is None or held is None:
        return tf.shape(inputs)[0] // tf.shape(rows)[0]
    if entries % held:
        raise ValueError(f"{entries} entries cannot be divided evenly over {held} keyed rows")
    return entries // held


def uniform(
    label: str,
    shape: Sequence[int],
    per_row: int | tf.Tensor = 1,
    minval: float = 0.0,
    maxval: float = 1.0,
) -> tf.Tensor:
    """Uniform numbers for the rows of the current context.

    Args:
      label: who draws. Equal labels in one step draw equal numbers, so each layer has its own;
        it must not depend on how many layers the process built before.
      shape: shape of what one entry draws; () for a number.
      per_row: entries a row has, as `entries_per_row` tells.
      minval: lower bound, included.
      maxval: upper bound, excluded.

    Returns:
      float32 [b * per_row, *shape].

    Raises:
      NotKeyedError: outside `keyed`.
    """
    key = _current()
    # Two words of seed: what is known before the run, and the step. fold_in hashes the first two
    # together, so that neighbouring seeds and labels do not give neighbouring streams.
    known = tf.constant([key.seed, zlib.crc32(label.encode())], tf.int64)
    numbers = tf.random.stateless_uniform(
        tf.concat([[key.global_batch, per_row], tf.cast(tuple(shape), tf.int32)], 0),
        seed=tf.random.fold_in(known, key.step),
        minval=minval,
        maxval=maxval,
        alg="philox",  # not "auto_select": the numbers must not depend on the device
    )
    mine = tf.gather(numbers, key.rows)
    merged = tf.reshape(mine, tf.concat([[-1], tf.shape(mine)[2:]], 0))
    merged.set_shape([None, *shape])
    if isinstance(per_row, int) and key.rows.shape[0] is not None:
        merged.set_shape([key.rows.shape[0] * per_row, *shape])
    return merged
