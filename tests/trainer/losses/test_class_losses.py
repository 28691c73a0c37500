"""Losses of classes against Keras's own on probabilities, and what their settings may be."""

import numpy as np
import pytest
import tensorflow as tf

from preprocess.shell.errors import ConfigError
from trainer.config.entries import LOSSES
from trainer.config.learning_sections import LossConfig
from trainer.losses.build_loss import build_loss

RNG = np.random.default_rng(3)
LOGITS = RNG.normal(size=(9, 4)) * 3
LABELS = RNG.integers(0, 4, 9)
HOT = np.eye(4)[LABELS]
PROBABILITIES = np.exp(LOGITS) / np.exp(LOGITS).sum(-1, keepdims=True)
K = tf.keras.losses


def built(name, **args):
    return build_loss("classification", LossConfig(name=name, args=args))


@pytest.mark.parametrize(
    ("name", "args", "of_keras"),
    [
        ("cross_entropy", {}, K.categorical_crossentropy),
        (
            "cross_entropy",
            {"label_smoothing": 0.2},
            lambda hot, p: K.categorical_crossentropy(hot, p, label_smoothing=0.2),
        ),
        (
            "focal",
            {"gamma": 1.5},
            lambda hot, p: -(hot * (1 - p) ** 1.5 * np.log(p)).sum(-1),
        ),
        (
            "focal",
            {"label_smoothing": 0.1},
            lambda hot, p: -((hot * 0.9 + 0.025) * (1 - p) ** 2 * np.log(p)).sum(-1),
        ),
        ("kl_divergence", {}, K.kl_divergence),
        (
            "kl_divergence",
            {"label_smoothing": 0.4},
            lambda hot, p: K.kl_divergence(hot * 0.6 + 0.1, p),
        ),
        ("brier", {}, lambda hot, p: 4 * K.mean_squared_error(hot, p)),
    ],
)
def test_a_loss_is_that_of_keras_on_the_probabilities(name, args, of_keras):
    expected = of_keras(HOT, PROBABILITIES)
    np.testing.assert_allclose(built(name, **args)(LOGITS, LABELS), expected, rtol=1e-5, atol=1e-5)


def test_the_focal_loss_is_that_of_keras_but_for_its_weight():
    if not hasattr(tf.keras.losses, "CategoricalFocalCrossentropy"):
        pytest.skip("a Keras without it")
    of_keras = tf.keras.losses.CategoricalFocalCrossentropy(alpha=1.0, reduction="none")
    expected = of_keras(HOT, PROBABILITIES)
    np.testing.assert_allclose(built("focal")(LOGITS, LABELS), expected, rtol=1e-5, atol=1e-5)


def test_the_hinge_is_that_of_keras_on_the_logits():
    expected = K.categorical_hinge(HOT, LOGITS)
    np.testing.assert_allclose(built("categorical_hinge")(LOGITS, LABELS), expected, rtol=1e-6)


CLASS_LOSSES = [n for n in LOSSES.names() if LOSSES.constant(n, "TASK") == "classification"]


@pytest.mark.parametrize("name", CLASS_LOSSES)
def test_logits_far_apart_give_finite_losses_and_gradients(name):
    logits = tf.Variable([[200.0, -200.0, 0.0], [-200.0, 200.0, 0.0]])
    with tf.GradientTape() as tape:
        losses = built(name)(logits, [0, 0])
    assert np.isfinite(losses).all()
    assert np.isfinite(tape.gradient(losses, logits)).all()


@pytest.mark.parametrize(
    ("name", "args"),
    [
        ("cross_entropy", {"label_smoothing": 1.0}),
        ("kl_divergence", {"label_smoothing": "a"}),
        ("brier", {"label_smoothing": -0.1}),
        ("focal", {"gamma": -1}),
        ("focal", {"gamma": True}),
    ],
)
def test_a_setting_outside_of_its_bounds_is_refused_with_what_it_takes(name, args):
    with pytest.raises(ConfigError, match=r"loss.args.\w+=.*: must be a number"):
        built(name, **args)
