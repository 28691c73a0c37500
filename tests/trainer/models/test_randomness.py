import threading

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from trainer.models import randomness


def draw(rows, label="layer", seed=7, step=3, shape=(2,), per_row=1, global_batch=8, **bounds):
    with randomness.keyed(seed, tf.constant(step, tf.int64), tf.constant(rows), global_batch):
        return randomness.uniform(label, shape, per_row, **bounds).numpy()


ALL = list(range(8))


def test_numbers_belong_to_rows_not_to_who_holds_them():
    whole = draw(ALL)
    np.testing.assert_array_equal(np.concatenate([draw(ALL[:3]), draw(ALL[3:])]), whole)
    np.testing.assert_array_equal(draw([5, 1]), whole[[5, 1]])


def test_several_entries_of_a_row_stay_together():
    whole = draw(ALL, per_row=3, shape=())
    assert whole.shape == (24,)
    np.testing.assert_array_equal(draw([2, 6], per_row=3, shape=()), whole[[6, 7, 8, 18, 19, 20]])
    assert len(set(whole)) == 24


@pytest.mark.parametrize("other", [{"seed": 8}, {"step": 4}, {"label": "layer_1"}])
def test_seed_step_and_label_each_give_other_numbers(other):
    assert not np.intersect1d(draw(ALL), draw(ALL, **other)).size


def test_neither_swapped_nor_neighbouring_keys_give_a_shared_stream():
    """Seeds 0 to 7 by steps 0 to 7, 16 numbers each: all 1,024 differ (float32 has 2**23)."""
    numbers = [draw(ALL, seed=a, step=b) for a in range(8) for b in range(8)]
    # Of 1,024 numbers out of 2**23, 1024**2 / 2 / 2**23 = 0.06 pairs are expected to be equal.
    assert len(np.unique(numbers)) >= 1022


@settings(max_examples=20)
@given(seed=st.integers(-(2**70), 2**70), step=st.integers(0, 2**62))
def test_any_seed_and_step_is_taken(seed, step):
    numbers = draw(ALL, seed=seed, step=step, minval=-2.0, maxval=3.0)
    assert numbers.min() >= -2
    assert numbers.max() < 3


def test_numbers_are_uniform():
    """Mean 1/2 +- 4 standard errors: 1 / sqrt(12 * 40000) = 0.00144."""
    numbers = draw(list(range(8)), shape=(5000,))
    assert abs(numbers.mean() - 0.5) < 4 * 0.00144
    assert np.histogram(numbers, 4, (0, 1))[0].min() > 9600


def test_one_trace_serves_all_steps():
    @tf.function
    def step_function(step, rows):
        with randomness.keyed(7, step, rows, 8):
            return randomness.uniform("layer", (2,))

    for step in range(3):
        numbers = step_function(tf.constant(step, tf.int64), tf.constant(ALL))
        np.testing.assert_array_equal(numbers, draw(ALL, step=step))
    assert step_function.experimental_get_tracing_count() == 1


def test_shapes_unknown_while_tracing_are_taken():
    @tf.function(input_signature=[tf.TensorSpec([None], tf.int32), tf.TensorSpec([None, 2, 2, 3])])
    def function(rows, pictures):
        with randomness.keyed(7, 3, rows, 8):
            return randomness.uniform("layer", (2,), randomness.entries_per_row(pictures))

    numbers = function(tf.constant([2, 6]), tf.zeros([6, 2, 2, 3]))
    np.testing.assert_array_equal(numbers, draw([2, 6], per_row=3))


def test_outside_a_context_is_an_error_that_says_what_to_do():
    with pytest.raises(randomness.NotKeyedError, match="keyed"):
        randomness.uniform("layer", ())
    with pytest.raises(ZeroDivisionError), randomness.keyed(0, 0, [0], 1):
        _ = 1 / 0
    with pytest.raises(randomness.NotKeyedError):
        randomness.uniform("layer", ())


def test_entries_that_do_not_divide_over_the_rows_are_an_error():
    with randomness.keyed(0, 0, [0, 1], 2), pytest.raises(ValueError, match="5 entries"):
        randomness.entries_per_row(tf.zeros([5, 1]))


def test_threads_do_not_see_each_other():
    seen = []

    def other() -> None:
        try:
            randomness.uniform("layer", ())
        except randomness.NotKeyedError as error:
            seen.append(error)

    with randomness.keyed(0, 0, [0], 1):
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
    assert seen
