"""Losses of several labels against Keras's own."""

import numpy as np
import pytest
import tensorflow as tf

from preprocess.shell.errors import ConfigError
from trainer.config.entries import LOSSES
from trainer.config.learning_sections import LossConfig
from trainer.losses.build_loss import build_loss

RNG = np.random.default_rng(4)
LOGITS = RNG.normal(size=(9, 4)) * 3
LABELS = (RNG.random((9, 4)) < 0.5).astype(np.float32)
P = 1 / (1 + np.exp(-LOGITS))
K = tf.keras.losses


def built(name, **args):
    return build_loss("multilabel", LossConfig(name=name, args=args))


def focal(gamma, alpha):
    right = np.where(LABELS > 0, P, 1 - P)
    side = np.where(LABELS > 0, alpha, 1 - alpha)
    return (2 * side * (1 - right) ** gamma * -np.log(right)).mean(-1)


@pytest.mark.parametrize(
    ("name", "args", "of_keras"),
    [
        ("binary_cross_entropy", {}, lambda: K.binary_crossentropy(LABELS, P)),
        (
            "binary_cross_entropy",
            {"label_smoothing": 0.3},
            lambda: K.binary_crossentropy(LABELS, P, label_smoothing=0.3),
        ),
        ("binary_focal", {"gamma": 0}, lambda: K.binary_crossentropy(LABELS, P)),
        ("binary_focal", {"gamma": 1.5, "alpha": 0.25}, lambda: focal(1.5, 0.25)),
        ("hinge", {}, lambda: K.hinge(LABELS, LOGITS)),
        ("squared_hinge", {}, lambda: K.squared_hinge(LABELS, LOGITS)),
    ],
)
def test_a_loss_is_that_of_keras(name, args, of_keras):
    found = built(name, **args)(LOGITS, LABELS)
    np.testing.assert_allclose(found, of_keras(), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    "name", [n for n in LOSSES.names() if LOSSES.constant(n, "TASK") == "multilabel"]
)
def test_logits_far_from_0_give_finite_losses_and_gradients(name):
    logits = tf.Variable([[200.0, -200.0], [-200.0, 200.0]])
    with tf.GradientTape() as tape:
        losses = built(name)(logits, tf.constant([[1.0, 0.0], [1.0, 0.0]]))
    assert np.isfinite(losses).all()
    assert np.isfinite(tape.gradient(losses, logits)).all()


def test_a_weight_outside_of_its_bounds_is_refused():
    with pytest.raises(ConfigError, match=r"loss.args.alpha=1.5"):
        built("binary_focal", alpha=1.5)
