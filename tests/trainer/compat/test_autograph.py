"""What a traced function calls of ours is called as it is written; a user's own is rewritten."""

import sys

import pytest
import tensorflow as tf

from tests.trainer import own_code
from trainer.compat.autograph import call_own_as_written, converted
from trainer.config.learning_sections import LossConfig
from trainer.losses import triplet_loss
from trainer.losses.build_loss import build_loss

call_own_as_written()

BRANCHES = """
import tensorflow as tf


def f(values, targets):
    if tf.reduce_sum(values) > 0:
        return tf.reduce_sum(values, -1)
    for number in tf.range(3):
        values -= tf.cast(number, tf.float32)
    return tf.reduce_max(values, -1)
"""


def rewritten():
    return {name for name in sys.modules if name.startswith("__autograph_generated")}


def test_nothing_of_ours_is_rewritten_but_what_is_handed_to_tensorflow():
    """triplet_loss calls functions of its own, and one of them of another file."""
    before = rewritten()
    loss = tf.function(triplet_loss)(tf.zeros([2, 3, 4]), tf.fill([2, 3], 1 / 3), 0.5)
    assert loss.numpy() == pytest.approx([1.0, 1.0])  # 2 * delta: all embeddings are equal
    assert len(rewritten() - before) == 1


@pytest.mark.parametrize(("values", "expected"), [([[1.0, 2.0]], 3.0), ([[-1.0, -2.0]], -4.0)])
def test_a_loss_of_the_users_may_have_an_if_and_a_for_over_tensors(tmp_path, values, expected):
    """Called by ours, as the training step does; at validation without a graph."""
    file = own_code.write(tmp_path, part=BRANCHES) / "part.py"
    loss = build_loss("classification", LossConfig(name=f"{file}:f"))
    for call in (loss, tf.function(loss), tf.function(lambda *given: loss(*given))):
        assert call(tf.constant(values), tf.constant([0])).numpy() == pytest.approx([expected])


def test_a_layer_of_the_users_may_have_an_if_over_tensors():
    class Own(tf.keras.layers.Layer):
        def call(self, inputs):
            if tf.reduce_sum(inputs) > 0:
                return inputs
            return -inputs

    model = tf.keras.Sequential([Own()])
    assert tf.function(lambda x: model(x))(tf.constant([[-3.0]])).numpy() == 3.0


def test_outside_of_a_graph_a_function_is_called_as_it_is():
    def inside(value):
        return tf.executing_eagerly(), value

    assert converted(inside)(3) == (True, 3)
