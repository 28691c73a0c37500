"""Keras's own random layers draw by the step, not by what was drawn before."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from trainer.models.generators import generators, key_by_step


def dropped(strategy: Any, seed: int = 0) -> Any:
    """A function (step) -> what Dropout lets through of ones, a row a replica."""
    tf.keras.backend.experimental.enable_tf_random_generator()
    with strategy.scope():
        pixels = tf.keras.Input((64,))
        model = tf.keras.Model(pixels, tf.keras.layers.Dropout(0.5)(pixels))
    owned = generators(model, seed)
    assert len(owned) == 1

    def replica(step: Any) -> Any:
        key_by_step(owned, step)
        return model(tf.ones([1, 64]), training=True)

    @tf.function
    def run(step: Any) -> Any:
        return strategy.run(replica, args=(step,))

    def rows(step: int) -> Any:
        results = run(tf.constant(step, tf.int64))
        return np.concatenate([r.numpy() for r in strategy.experimental_local_results(results)])

    return rows


def test_a_step_draws_the_same_whatever_was_drawn_before(replicas: Any) -> None:
    rows = dropped(replicas)
    first, second = rows(5), rows(6)
    np.testing.assert_array_equal(rows(5), first)
    assert not np.array_equal(first, second)


def test_replicas_draw_differently(replicas: Any) -> None:
    one, other = dropped(replicas)(3)
    assert not np.array_equal(one, other)


def test_neighbouring_steps_do_not_share_their_stream(replicas: Any) -> None:
    """With the step in the low word of the counter, step 6 would repeat step 5 from its fifth
    number on: Philox gives four numbers a count.
    """
    rows = dropped(replicas)
    assert not np.array_equal(rows(5)[0][4:], rows(6)[0][:-4])


def test_another_seed_gives_other_numbers(replicas: Any) -> None:
    assert not np.array_equal(dropped(replicas, 0)(1), dropped(replicas, 1)(1))
