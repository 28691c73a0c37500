"""The initializer and the regularizer of the head's dense layer."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from preprocess.shell.errors import ConfigError
from trainer.config.learning_sections import ModelConfig
from trainer.models import heads


def dense(**changes):
    """The dense layers of the three heads."""
    section = dataclasses.replace(ModelConfig(), embedding_size=6, **changes)
    for head in (
        lambda features: heads.dense(features, section, 6, heads.LOGITS),
        lambda features: heads.embedding_head(features, section),
        lambda features: heads.dense(features, section, 6, heads.NUMBERS),
    ):
        features = tf.keras.Input((64,))
        model = tf.keras.Model(features, head(features))
        (found,) = (layer for layer in model.layers if isinstance(layer, tf.keras.layers.Dense))
        yield model, found


@pytest.mark.parametrize(
    ("name", "args", "lowest", "highest"),
    [
        ("zeros", {}, 0, 0),
        ("Constant", {"value": 0.25}, 0.25, 0.25),
        ("random_uniform", {"minval": 2.0, "maxval": 3.0}, 2, 3),
        ("he_uniform", {}, -((6 / 64) ** 0.5), (6 / 64) ** 0.5),
    ],
)
def test_kernels_are_drawn_by_the_initializer_of_the_name(name, args, lowest, highest):
    for _, layer in dense(head_initializer=name, head_initializer_args=args):
        kernel = layer.kernel.numpy()
        assert lowest <= kernel.min() and kernel.max() <= highest
        assert kernel.max() - kernel.min() >= 0.9 * (highest - lowest)
        assert not layer.bias.numpy().any()


def test_the_regularizer_is_a_loss_of_the_model_and_by_default_there_is_none():
    for model, layer in dense(head_l1=0.5, head_l2=0.25):
        kernel = layer.kernel.numpy()
        expected = 0.5 * np.abs(kernel).sum() + 0.25 * np.square(kernel).sum()
        assert float(tf.add_n(model.losses)) == pytest.approx(expected, rel=1e-5)
    for model, layer in dense():
        assert model.losses == []
        assert type(layer.kernel_initializer).__name__ == "GlorotUniform"


@pytest.mark.parametrize(
    ("name", "args", "words"),
    [
        ("he_norml", {}, "model.head_initializer='he_norml' is unknown; similar names: .*HeNormal"),
        ("HeNormal", {"scale": 1.0}, "model.head_initializer_args: HeNormal rejects"),
        ("Constant", {"value": "much"}, "model.head_initializer=Constant: no kernel of 64 times 6"),
    ],
)
def test_what_is_no_initializer_is_refused_in_a_line(name, args, words):
    with pytest.raises(ConfigError, match=words) as caught:
        list(dense(head_initializer=name, head_initializer_args=args))
    assert "\n" not in str(caught.value)
