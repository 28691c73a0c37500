"""Every optimizer, constant and with a schedule: trained, saved, resumed, and its rate known."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from preprocess.shell.errors import ConfigError
from tests.trainer import datasets
from tests.trainer.conftest import strategy
from tests.trainer.optimizers.test_build_optimizer import ADDONS
from tests.trainer.stacks import needs_addons
from trainer.optimizers.averages import Averages, check_averages
from trainer.optimizers.current_rate import current_rate
from trainer.training.checkpoints import LAST, Checkpoints
from trainer.training.session import Session, add_optimizer

OURS = ["adabound", "amsbound"]
KERAS = [
    *("Adadelta", "Adafactor", "Adagrad", "Adam", "AdamW", "Adamax"),
    *("Ftrl", "Lion", "Nadam", "RMSprop", "SGD"),
]
ALL = [pytest.param(name, {}, id=name) for name in [*OURS, *KERAS]]
ALL += [
    pytest.param(f"tfa:{name}", args, id=f"tfa-{name}", marks=needs_addons)
    for name, args in ADDONS.items()
]
AVERAGING = [
    pytest.param("sgd", {"use_ema": True, "ema_momentum": 0.5}, id="keras"),
    pytest.param(
        "MovingAverage",
        {"optimizer": "SGD", "average_decay": 0.5},
        id="addons-moving-average",
        marks=needs_addons,
    ),
    pytest.param(
        "SWA",
        {"optimizer": "SGD", "start_averaging": 0, "average_period": 1},
        id="addons-stochastic-average",
        marks=needs_addons,
    ),
]
NO_SCHEDULE = ("tfa:COCOB", "tfa:ConditionalGradient")
STEPS, RATE = 8, 0.125  # of the run; a power of two, so that its halves are exact
CONSTANT, LINEAR = "", "PolynomialDecay"


def session_of(name, args, schedule=CONSTANT, steps=STEPS):
    """A session of one dense layer, whose weights are 1."""
    config = datasets.configuration(
        datasets.TRIPLET,
        optimizer__name=name,
        optimizer__args=args,
        optimizer__learning_rate=RATE,
        optimizer__schedule=schedule,
        optimizer__schedule_args={"end_learning_rate": 0.0} if schedule else {},
    )
    with strategy(1).scope():
        ones = tf.keras.layers.Dense(2, kernel_initializer="ones")
        model = tf.keras.Sequential([tf.keras.Input((3,)), ones])
    session = Session(config, strategy(1), None, model, None)
    add_optimizer(session, steps)
    return session


def train(session, steps):
    """Steps in a graph, as a training's; the gradient is a function of the step."""
    optimizer, variables = session.model.optimizer, session.model.trainable_variables

    def on_a_replica():
        size = 1.0 + tf.cast(optimizer.iterations, tf.float32)
        optimizer.apply_gradients([(tf.fill(v.shape, size), v) for v in variables])

    @tf.function
    def step():
        session.strategy.run(on_a_replica)

    take = session.__dict__.setdefault("take", step)  # one graph a session
    for _ in range(steps):
        take()


def weights(session):
    return [weight.numpy() for weight in session.model.trainable_variables]


@pytest.mark.parametrize("schedule", [CONSTANT, LINEAR], ids=["constant", "schedule"])
@pytest.mark.parametrize(("name", "args"), ALL)
def test_a_run_saved_and_resumed_ends_where_an_undisturbed_one_does(name, args, schedule, tmp_path):
    """And the rate in its rows is the one its steps are made with: a straight line from 1/8 to 0
    over 8 steps, of which the fourth begins at 3/8 of it. Which is then not a constant one.
    """
    if schedule and name in NO_SCHEDULE:
        with pytest.raises(ConfigError, match="supports no schedule; leave it out"):
            session_of(name, args, schedule)
        return
    undisturbed = session_of(name, args, schedule)
    train(undisturbed, 4)
    rate = current_rate(undisturbed.model.optimizer)
    assert rate == (None if name == "tfa:COCOB" else RATE * 5 / 8 if schedule else RATE)
    if schedule:
        constant = session_of(name, args)
        train(constant, 4)
        assert not np.array_equal(weights(constant)[0], weights(undisturbed)[0])
    states = Checkpoints(tmp_path)
    states.save(LAST, undisturbed, {"step": 4, "epochs": 1})
    train(undisturbed, 2)
    resumed = session_of(name, args, schedule)
    states.restore(states.states(LAST)[0], resumed)
    assert current_rate(resumed.model.optimizer) == rate
    train(resumed, 2)
    for one, other in zip(weights(undisturbed), weights(resumed), strict=True):
        np.testing.assert_array_equal(one, other)
        assert not np.array_equal(one, np.ones_like(one))


@pytest.mark.parametrize(("name", "args"), AVERAGING)
def test_what_is_measured_and_saved_has_the_averages(name, args, tmp_path):
    """The state that evaluation reads, without an optimizer, has the averages; training goes on
    with the weights that were stepped. Two steps of SGD with the gradients 1 and 2 from 1: the
    weights are 1 - 1/8 and 1 - 3/8; the averages, kept by halves, begin at 1 (at the first
    weights, of SWA) and end between.
    """
    session = session_of(name, args)
    train(session, 2)
    stepped = weights(session)
    np.testing.assert_allclose(stepped[0], 1 - 3 * RATE)
    with session.averages.in_place():
        averages = weights(session)
        with session.averages.in_place() as kept:  # a state saved while a split is measured
            np.testing.assert_array_equal(kept[0], stepped[0])
            np.testing.assert_array_equal(weights(session)[0], averages[0])
    expected = 1 - 2 * RATE if name == "SWA" else 1 - 1.75 * RATE
    np.testing.assert_allclose(averages[0], expected)
    np.testing.assert_array_equal(weights(session)[0], stepped[0])

    states = Checkpoints(tmp_path)
    states.save(LAST, session, {"step": 2, "epochs": 1})
    (path,) = states.states(LAST)
    with strategy(1).scope():
        measured = dataclasses.replace(session, model=tf.keras.models.clone_model(session.model))
    states.restore(path, measured)
    np.testing.assert_array_equal(weights(measured)[0], averages[0])
    resumed = session_of(name, args)
    states.restore(path, resumed)
    np.testing.assert_array_equal(weights(resumed)[0], stepped[0])


def test_without_averages_nothing_is_put_in_place():
    session = session_of("adam", {})
    train(session, 1)
    with Averages(session.model).in_place() as stepped:
        assert stepped is None


@needs_addons
def test_averages_that_never_begin_are_refused_and_until_then_weights_are_measured():
    """SWA's averages are zeros until its first snapshot."""
    session = session_of("SWA", {"optimizer": "SGD", "start_averaging": 4})
    train(session, 4)
    with session.averages.in_place() as stepped:
        assert stepped is None
    train(session, 1)
    with session.averages.in_place() as stepped:
        assert stepped is not None
    check_averages(session.model.optimizer, 5)
    with pytest.raises(ConfigError, match=r"start_averaging=4: the run has only 4 steps"):
        check_averages(session.model.optimizer, 4)
