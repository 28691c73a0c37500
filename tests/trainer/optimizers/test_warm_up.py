"""A warm-up before a constant rate and every schedule, against NumPy."""

import numpy as np
import pytest
import tensorflow as tf

from preprocess.shell.errors import ConfigError
from tests.trainer import datasets
from tests.trainer.optimizers.plain_keras import check_equal, configured, ours, plain
from trainer.config.learning_sections import OptimizerConfig
from trainer.optimizers import build_optimizer
from trainer.optimizers.schedules import build_schedule, schedule_in_words, stretched
from trainer.optimizers.warm_up import WarmUp

RATE, WARM, STEPS = 0.1, 10, 50
REST = STEPS - WARM

# By name: the schedule's arguments and, in NumPy, its rate n steps after the warm-up of a run of
# 50 steps, where a length is not given: 40.
SCHEDULES = {
    "": ({}, lambda n: RATE + 0 * n),
    "CosineDecay": ({}, lambda n: RATE * (1 + np.cos(np.pi * n / REST)) / 2),
    "CosineDecayRestarts": ({}, lambda n: RATE * (1 + np.cos(np.pi * n / REST)) / 2),
    "ExponentialDecay": ({"decay_rate": 0.5}, lambda n: RATE * 0.5 ** (n / REST)),
    "InverseTimeDecay": ({"decay_rate": 3.0}, lambda n: RATE / (1 + 3 * n / REST)),
    "PolynomialDecay": (
        {"end_learning_rate": 0.02, "power": 2.0},
        lambda n: 0.02 + 0.08 * (1 - n / REST) ** 2,
    ),
    "PiecewiseConstantDecay": (
        {"boundaries": [5, 20], "values": [0.1, 0.03, 0.01]},
        lambda n: np.select([n <= 5, n <= 20], [0.1, 0.03], 0.01),
    ),
    "CosineDecay of 20": (
        {"decay_steps": 20},
        lambda n: RATE * (1 + np.cos(np.pi * np.minimum(n, 20) / 20)) / 2,
    ),
}


def section(schedule, **changes):
    args, _ = SCHEDULES[schedule]
    keys = {"learning_rate": RATE, "warmup_steps": WARM, "schedule": schedule.split(" ")[0]}
    return OptimizerConfig(**{**keys, "schedule_args": args, **changes})


def expected(name):
    """The rates of 50 steps: n / 10 of the first in the first ten."""
    steps = np.arange(STEPS)
    full = SCHEDULES[name][1](np.maximum(steps - WARM, 0).astype(float))
    return full * np.minimum((steps + 1) / WARM, 1)


def test_every_schedule_of_keras_is_among_them():
    known = vars(tf.keras.optimizers.schedules)
    names = {n for n, c in known.items() if isinstance(c, type)} - {"LearningRateSchedule"}
    assert names == {name for name in SCHEDULES if name and " " not in name}


@pytest.mark.parametrize("name", SCHEDULES)
def test_the_rates_of_fifty_steps(name):
    rate = build_schedule(section(name), STEPS)
    for dtype in (tf.int64, tf.float32):  # Keras's optimizers, and those of the legacy kind
        found = [float(rate(tf.constant(step, dtype))) for step in range(STEPS)]
        np.testing.assert_allclose(found, expected(name), rtol=1e-5, atol=1e-8)


def test_fifty_steps_of_a_training_are_made_at_these_rates(class_data):
    config = configured(
        optimizer__learning_rate=RATE,
        optimizer__warmup_steps=WARM,
        optimizer__schedule="CosineDecay",
    )
    rates = iter(expected("CosineDecay"))

    def update(gradients, variables):
        rate = next(rates)
        for gradient, variable in zip(gradients, variables, strict=True):
            variable.assign_sub(rate * gradient)

    followed = plain(config, class_data, update)
    for replicas in (1, 2):
        check_equal(ours(config, class_data, replicas), followed)


def test_the_bounds_of_adabound_belong_to_the_full_rate():
    """Not to the first of the warm-up, which would make them ten times as wide."""
    for name in ("adabound", "amsbound"):
        optimizer = build_optimizer(section("", name=name), STEPS)
        assert optimizer.base_learning_rate == np.float32(RATE)
    given = section("", name="adabound", args={"base_learning_rate": 0.5})
    assert build_optimizer(given, STEPS).base_learning_rate == 0.5


@pytest.mark.parametrize("name", SCHEDULES)
def test_it_is_built_again_from_a_saved_model(name):
    rate = build_schedule(section(name), STEPS)
    optimizer = tf.keras.optimizers.SGD(rate)
    again = tf.keras.optimizers.deserialize(tf.keras.optimizers.serialize(optimizer))
    assert isinstance(again._learning_rate, WarmUp)
    assert [float(again._learning_rate(n)) for n in range(STEPS)] == [
        float(rate(n)) for n in range(STEPS)
    ]


def test_one_that_would_not_end_is_refused_where_the_length_is_known():
    with pytest.raises(ConfigError, match=r"optimizer.warmup_steps=10: the run has only 10 steps"):
        build_schedule(section("CosineDecay"), 10)
    build_schedule(section("CosineDecay"), 11)
    build_schedule(section("CosineDecay"), 0)


def test_what_starts_where_is_said_with_the_length_that_the_schedule_has():
    """A cosine over 40 steps ends 1/40 before its end: 0.1 * (1 + cos(pi * 39/40)) / 2."""
    assert schedule_in_words(section("CosineDecay"), STEPS) == (
        "learning rate by a warm-up of 10 steps, then CosineDecay of decay_steps=40: starts at "
        "0.01, at most 0.1, ends at 0.000154 after 50 steps"
    )
    assert "CosineDecay of decay_steps=20:" in schedule_in_words(
        section("CosineDecay of 20"), STEPS
    )
    assert schedule_in_words(section(""), STEPS) == (
        "learning rate by a warm-up of 10 steps, then a constant rate: starts at 0.01, at most "
        "0.1, ends at 0.1 after 50 steps"
    )


def test_a_longer_run_stretches_what_follows_and_not_the_warm_up():
    """At step 30 a cosine over 40 steps is halfway, and one over 90 at (1 + cos(pi * 2/9)) / 2."""
    assert "is 0.0883 instead of 0.05." in stretched(section("CosineDecay"), 50, 100, 30)
    assert stretched(section("CosineDecay"), 50, 100, 5) == ""
    assert stretched(section(""), 50, 100, 30) == ""


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"optimizer__schedule": "CosineDecay", "optimizer__schedule_args": {"warmup_steps": 3}},
            "optimizer.warmup_steps 10 and optimizer.schedule_args.warmup_steps both warm up",
        ),
        (
            {"reduce_on_plateau__patience": 2},
            "reduce_on_plateau.patience 2 and optimizer.warmup_steps 10 would both set",
        ),
    ],
)
def test_two_that_would_set_the_rate_are_refused(changes, words):
    with pytest.raises(ConfigError, match=words):
        datasets.configuration(datasets.TRIPLET, optimizer__warmup_steps=WARM, **changes)
