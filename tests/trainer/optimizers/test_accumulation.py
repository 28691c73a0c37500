"""k steps are one step of k times the batch, on any number of replicas and through a restart."""

import dataclasses
import itertools

import numpy as np
import pytest
import tensorflow as tf

from preprocess.shell.errors import ConfigError
from tests.trainer import datasets
from tests.trainer.conftest import strategy
from tests.trainer.optimizers.plain_keras import (
    check_equal,
    configured,
    ours,
    plain,
    trained,
    weights_of,
)
from tests.trainer.workers.double_precision import initial_session
from trainer.config.learning_sections import OptimizerConfig
from trainer.data.dataset import load_manifest
from trainer.data.reader import open_reader
from trainer.optimizers.accumulation import accumulation_in_words, check_accumulation
from trainer.optimizers.schedules import build_schedule, schedule_in_words, stretched
from trainer.preflight.trial_step import training_steps
from trainer.training.checkpoints import LAST, Checkpoints
from trainer.training.session import add_optimizer
from trainer.training.step_functions import train_functions
from trainer.workers import devices

# Of the 21 pictures, with batches of 4: in threes they are those of 12, the last of them with 9.
RANDOM = {
    "model__backbone": "cnn",
    "model__dropout": 0.3,
    "augment__enabled": True,
    "augment__flip": True,
    "augment__brightness": 0.2,
    "loss__class_weights": {"bright": 3.0, "dark": 1.0},
    "model__head_l2": 0.01,
}


def test_k_steps_are_one_step_of_k_times_the_batch(class_data):
    """Of the cnn, with dropout, augmentation, class weights and a regularizer: 8 updates."""
    whole = ours(configured(**RANDOM, batch_size=12), class_data, 1, 8)
    parts = configured(**RANDOM, batch_size=4, optimizer__accumulate_steps=3)
    for replicas in (1, 2):
        check_equal(ours(parts, class_data, replicas, 24), whole, 1e-4)
    still = ours(parts, class_data, 1, 23)
    assert max(np.abs(a - b).max() for a, b in zip(still, whole, strict=True)) > 1e-3


def test_fifty_steps_are_those_of_plain_keras(class_data):
    """Which clips the mean of the records of two batches (8, 8 and 5 of a pass), decays kernels and
    averages, all once in two steps. Adam divides by the size of a gradient: its epsilon keeps
    those that are rounding only, of pixels that are the same in all pictures, from being steps.
    """
    config = configured(
        optimizer__name="adam",
        optimizer__args={"epsilon": 1e-4},
        optimizer__learning_rate=1e-3,
        optimizer__accumulate_steps=2,
        optimizer__clip_global_norm=0.5,
        optimizer__weight_decay=0.05,
        optimizer__ema_momentum=0.9,
    )
    adam = tf.keras.optimizers.Adam(
        1e-3, epsilon=1e-4, global_clipnorm=0.5, weight_decay=0.05, use_ema=True, ema_momentum=0.9
    )
    adam.exclude_from_weight_decay(var_names=["bias"])
    records, kept = itertools.cycle([8, 8, 5]), []

    def update(gradients, variables):
        kept.append((next(records), gradients))
        if len(kept) == 2:
            (one, first), (other, second) = kept
            means = [
                (a * one + b * other) / (one + other) for a, b in zip(first, second, strict=True)
            ]
            adam.apply_gradients(zip(means, variables, strict=True))
            kept.clear()

    expected = plain(config, class_data, update)
    for replicas in (1, 2):
        session = trained(config, class_data, replicas)
        check_equal(weights_of(session.model), expected, 1e-4)
        assert int(session.model.optimizer.iterations.numpy()) == 25
        with session.averages.in_place():
            averages = [each.numpy() for each in adam._model_variables_moving_average]
            check_equal(weights_of(session.model), averages, 1e-4)


def steps_of(session, data):
    """Trains some steps, from a step on: `call(first, count)`."""
    reader = open_reader(data, load_manifest(data), "train", session.config, training=True)
    train, several = train_functions(session)

    def call(first, count):
        iterator = iter(
            devices.distribute(
                session.strategy, lambda part: reader.dataset(first, part), endless=True
            )
        )
        if count > 1:
            several(iterator, tf.constant(count))
        else:
            train(next(iterator))

    return call


@pytest.mark.parametrize("replicas", [1, 2])
def test_a_state_saved_within_an_update_is_continued_exactly(replicas, class_data, tmp_path):
    config = datasets.configuration(
        datasets.CLASSIFICATION, optimizer__accumulate_steps=3, data__variants=1
    )

    def fresh():
        session = initial_session(config, class_data, strategy(replicas))
        add_optimizer(session, 9)
        return session

    undisturbed = fresh()
    train = steps_of(undisturbed, class_data)
    train(0, 5)
    states = Checkpoints(tmp_path)
    states.save(LAST, undisturbed, {"step": 5, "epochs": 1})
    train(5, 4)

    resumed = fresh()
    states.restore(states.states(LAST)[0], resumed)
    assert int(resumed.accumulation.done.numpy()) == 2
    train = steps_of(resumed, class_data)
    train(5, 1)  # completes an update by itself
    assert int(resumed.accumulation.done.numpy()) == 0
    train(6, 3)
    for one, other in zip(weights_of(undisturbed.model), weights_of(resumed.model), strict=True):
        np.testing.assert_array_equal(one, other)


def test_check_looks_at_the_weights_after_a_whole_update(class_data):
    config = configured(optimizer__accumulate_steps=3)
    session = initial_session(config, class_data, strategy(1))
    add_optimizer(session, 0)
    reader = open_reader(class_data, load_manifest(class_data), "train", config, training=True)
    timing, _ = training_steps(session, reader)
    assert timing.moved


def section(**changes):
    return dataclasses.replace(OptimizerConfig(), accumulate_steps=4, **changes)


def test_schedule_and_warm_up_count_updates():
    """101 steps are 25 updates: 5 of warm-up, and a cosine over 20."""
    optimizer = section(schedule="CosineDecay", warmup_steps=5)
    rate = build_schedule(optimizer, 101)
    assert float(rate(4)) == pytest.approx(1e-3)
    assert float(rate(15)) == pytest.approx(5e-4)
    said = schedule_in_words(optimizer, 101)
    assert "of decay_steps=20" in said and said.endswith("after 25 updates")
    # At step 60, update 15: halfway, and of 45 updates after 10 of 40.
    assert "at step 60 is 0.000854 instead of 0.0005." in stretched(optimizer, 100, 180, 60)
    with pytest.raises(ConfigError, match="warmup_steps=5: the run has only 5 updates"):
        build_schedule(optimizer, 23)


def test_what_an_update_is_and_what_is_left_over_is_said():
    assert accumulation_in_words(section(), 102, 8) == (
        "the weights are updated every 4 steps, with the gradient of 32 records; schedule and "
        "warm-up count the 25 updates; the run's last 2 steps do not make one"
    )
    assert accumulation_in_words(section(), 100, 8).endswith("the 25 updates")
    assert accumulation_in_words(OptimizerConfig(), 100, 8) == ""
    check_accumulation(section(), 4)
    with pytest.raises(ConfigError, match="accumulate_steps=4: the run has only 3 steps"):
        check_accumulation(section(), 3)
