"""Generators inside Keras's own layers, keyed by the step like all other random numbers.

Dropout and the like in a `keras:` backbone own a tf.random.Generator, which Keras leaves out of
checkpoints. Set again before every step from (seed, layer, step, replica), it need not be saved:
a run that was stopped draws on as if it had not been. Unlike our own layers these draw per
replica, so another number of replicas gives other numbers.
"""

from __future__ import annotations

import hashlib

import tensorflow as tf

REPLICA_BITS = 16  # of the counter's high word; the step has the other 48


def generators(model: tf.keras.Model, seed: int) -> list[tuple[tf.random.Generator, int]]:
    """(generator, its key uint64) of every layer that owns one, in layer order."""
    found = []
    for number, layer in enumerate(model._flatten_layers()):
        generator = getattr(getattr(layer, "_random_generator", None), "_generator", None)
        if generator is not None:
            hashed = hashlib.sha256(f"{seed}:{number}".encode()).digest()
            found.append((generator, int.from_bytes(hashed[:8], "big")))
    return found


def key_by_step(owned: list[tuple[tf.random.Generator, int]], step: tf.Tensor) -> None:
    """Sets the generators for a step (int64 scalar); called inside a replica's function.

    The low word of Philox's counter counts what is drawn within the step, so step and replica
    go to the high word.
    """
    replica = tf.distribute.get_replica_context().replica_id_in_sync_group
    high = tf.bitwise.bitwise_or(
        tf.bitwise.left_shift(tf.cast(step, tf.uint64), tf.constant(REPLICA_BITS, tf.uint64)),
        tf.cast(replica, tf.uint64),
    )
    counter = tf.stack([tf.zeros([], tf.uint64), high])
    for generator, key in owned:
        generator.reset_from_key_counter(tf.constant(key, tf.uint64), counter)
