"""Weights in one order, frozen or not: for stages, and for the fingerprint of a network."""

import tensorflow as tf

from trainer.models.graph import fingerprint
from trainer.models.layer_rows import layer_rows
from trainer.models.weight_order import weights_in_order


class Block(tf.keras.layers.Layer):
    """Two norms of one width, as a block of a user's own has them; and a list of no layers."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.layers = [64, 32]
        self.norms = [tf.keras.layers.BatchNormalization(name=f"norm_{n}") for n in range(2)]

    def call(self, inputs, training=None):
        for norm in self.norms:
            inputs = norm(inputs, training=training)
        return inputs

    def get_config(self):
        return super().get_config()


def model(trainable):
    inputs = tf.keras.Input([4])
    block = Block(name="block")
    features = block(inputs)
    block.trainable = trainable
    return tf.keras.Model(inputs, tf.keras.layers.Dense(2, name="head")(features))


def names(weights):
    return [weight.name for weight in weights]


def test_a_frozen_block_lists_its_weights_as_one_that_trains():
    free, frozen = model(True), model(False)
    assert names(free.weights) != names(frozen.weights)  # Keras's own order
    assert names(weights_in_order(free)) == names(weights_in_order(frozen))
    assert sorted(names(weights_in_order(free))) == sorted(names(free.weights))


def test_what_trains_does_not_change_the_fingerprint():
    assert fingerprint(model(True)) == fingerprint(model(False))


def test_a_layer_with_a_list_called_layers_is_one_row():
    rows = {row.name: row for row in layer_rows(model(False))}
    assert rows["block"].weights == 2 * 4 * 4
    assert rows["block"].cells[-1] == "frozen"


def test_an_output_of_unknown_rank_is_not_known():
    inputs = tf.keras.Input([4])
    outputs = tf.keras.layers.Lambda(lambda x: tf.py_function(lambda y: y, [x], tf.float32))(inputs)
    outputs.set_shape([None, 4])
    rows = layer_rows(tf.keras.Model(inputs, tf.keras.layers.Dense(1)(outputs)))
    assert len(rows) == 3


def with_lambda(folder):
    """A network of a function that is compiled in a file of its own."""
    file = folder / "mine.py"
    file.write_text("def half(x):\n    return x / 2\n")
    space = {}
    exec(compile(file.read_text(), str(file), "exec"), space)
    inputs = tf.keras.Input([4])
    return tf.keras.Model(inputs, tf.keras.layers.Lambda(space["half"])(inputs))


def test_a_lambda_is_the_same_from_another_folder(tmp_path):
    prints = []
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        prints.append(fingerprint(with_lambda(tmp_path / name)))
    assert prints[0] == prints[1]
