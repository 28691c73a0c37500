"""optimizer.ema_momentum: the averages of NumPy, and that they are what a run shows for itself."""

import dataclasses
import json

import numpy as np
import pytest
import tensorflow as tf

from preprocess.shell.errors import ConfigError
from tests.trainer.optimizers.plain_keras import (
    check_equal,
    configured,
    plain,
    plain_model,
    trained,
    weights_of,
)
from tests.trainer.stacks import needs_addons
from trainer.config.learning_sections import OptimizerConfig
from trainer.data.dataset import load_manifest
from trainer.data.order import ReplicaSlice
from trainer.data.reader import open_reader
from trainer.inference.export import export
from trainer.inference.serving import Serving
from trainer.inference.trained_run import open_run
from trainer.optimizers import build_optimizer
from trainer.optimizers.averages import averages_in_words

RATE, MOMENTUM = 0.1, 0.9


class Followed:
    """Gradient descent, and the averages after each step."""

    def __init__(self):
        self.averages = []

    def __call__(self, gradients, variables):
        before = self.averages[-1] if self.averages else [each.numpy() for each in variables]
        for gradient, variable in zip(gradients, variables, strict=True):
            variable.assign_sub(RATE * gradient)
        self.averages.append(
            [
                MOMENTUM * average + (1 - MOMENTUM) * variable.numpy()
                for average, variable in zip(before, variables, strict=True)
            ]
        )


def test_fifty_steps_are_averaged_as_numpy_does(class_data):
    config = configured(optimizer__ema_momentum=MOMENTUM)
    followed = Followed()
    stepped = plain(config, class_data, followed)
    for replicas in (1, 2):
        session = trained(config, class_data, replicas)
        check_equal(weights_of(session.model), stepped)
        with session.averages.in_place():
            check_equal(weights_of(session.model), followed.averages[-1])
        check_equal(weights_of(session.model), stepped)


def mean_loss(config, data, weights):
    """Of the test split, by plain Keras."""
    model = plain_model(config, data)
    for variable, value in zip(model.trainable_variables, weights, strict=True):
        variable.assign(value)
    entropy = tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True, reduction="sum")
    reader = open_reader(data, load_manifest(data), "test", config, training=False)
    total = count = 0.0
    for batch in reader.dataset(0, ReplicaSlice(0, 1, 1)).take(reader.steps_per_pass):
        logits = model(tf.cast(batch["image"], tf.float64), training=False)
        total += float(entropy(batch["label"], logits, sample_weight=batch["weight"]))
        count += float(tf.reduce_sum(batch["weight"]))
    return total / count


@pytest.mark.parametrize("replicas", [1, 2])
def test_a_run_validates_saves_keeps_as_best_and_exports_the_averages(
    replicas, class_data, train_here, tmp_path
):
    config = configured(optimizer__ema_momentum=MOMENTUM, epochs=3)
    report = train_here(config, class_data, tmp_path / "run", replicas, model=True)
    followed = Followed()
    stepped = plain(config, class_data, followed, report["steps"])
    assert np.abs(followed.averages[-1][0] - stepped[0]).max() > 1e-3

    rows = [json.loads(line) for line in (tmp_path / "run/metrics.jsonl").open()]
    for row in rows:
        expected = mean_loss(config, class_data, followed.averages[row["step"] - 1])
        assert row["val_loss"] == pytest.approx(expected, rel=1e-3)
    for kind in ("last", "best"):
        run = open_run(str(tmp_path / "run"), kind, print)
        check_equal(weights_of(run.session.model), followed.averages[run.step - 1], 1e-4)
        if kind == "last":
            assert report["weights_digest"] == run.session.weights_digest()
        exported = export(Serving(run), str(tmp_path / kind))
        assert exported["weights_digest"] == run.session.weights_digest()
    model = tf.keras.models.load_model(tmp_path / "run" / "model")
    check_equal(weights_of(model), followed.averages[-1], 1e-4)


@needs_addons
def test_legacy_optimizers_are_averaged_too(class_data):
    keys = {"optimizer__ema_momentum": MOMENTUM}
    legacy = {"optimizer__name": "tfa:SGDW", "optimizer__args": {"weight_decay": 0.0}}
    found = []
    for changes in ({}, legacy):
        session = trained(configured(**keys, **changes), class_data, 2, 10)
        with session.averages.in_place() as stepped:
            assert stepped is not None
            found.append(weights_of(session.model))
    check_equal(*found)


@pytest.mark.parametrize("name", ["adabound", "amsbound", "adam", "rmsprop", "lion", "ftrl"])
def test_training_goes_on_with_the_weights_themselves(name):
    """RMSprop, of Keras's, would put the averages in their place every 100 steps."""
    section = dataclasses.replace(OptimizerConfig(), name=name, ema_momentum=MOMENTUM)
    optimizer = build_optimizer(section, 1)
    settings = (optimizer.use_ema, optimizer.ema_momentum, optimizer.ema_overwrite_frequency)
    assert settings == (True, MOMENTUM, None)


@needs_addons
def test_an_optimizer_that_averages_by_itself_is_refused():
    section = dataclasses.replace(
        OptimizerConfig(), name="SWA", ema_momentum=0.9, args={"optimizer": "SGD"}
    )
    with pytest.raises(ConfigError, match=r"ema_momentum=0.9 and optimizer.name=SWA both average"):
        build_optimizer(section, 1)


def test_a_run_too_short_for_its_momentum_is_warned_of():
    """0.999 ** 100 = 0.905, and 0.05 ** (1 / 100) = 0.9705; 0.97 ** 100 = 0.048."""
    section = dataclasses.replace(OptimizerConfig(), ema_momentum=0.999)
    said = averages_in_words(section, 100)
    assert "after the run's 100 updates 90% of an average" in said
    assert said.endswith("set it to 0.9704 or less")
    assert averages_in_words(dataclasses.replace(section, ema_momentum=0.97), 100) == ""
    assert averages_in_words(OptimizerConfig(), 100) == ""
