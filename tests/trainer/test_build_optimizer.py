import ml_collections
import numpy as np
import pytest
import tensorflow as tf

from trainer import addons
from trainer.errors import ConfigError
from trainer.optimizers import AdaBound, AMSBound, build_optimizer
from trainer.optimizers.build import build_schedule


def configured(**changes):
    """An `optimizer` section with the keys presets share."""
    keys = {
        "name": "adabound",
        "learning_rate": 2e-3,
        "final_learning_rate": 0.05,
        "schedule": "",
        "schedule_args": {},
        "args": {},
    }
    return ml_collections.ConfigDict({**keys, **changes})


def step_once(optimizer):
    """A step on one weight 1 with gradient 1, and how far it went."""
    weight = tf.Variable([1.0])
    optimizer.apply_gradients([(tf.constant([1.0]), weight)])
    return float(1 - weight.numpy()[0])


@pytest.mark.parametrize(
    ("name", "kind"), [("adabound", AdaBound), ("AMSBound", AMSBound), ("amsbound", AMSBound)]
)
def test_ours_by_name_in_any_case_with_the_keys_they_take(name, kind):
    optimizer = build_optimizer(configured(name=name), 100)
    assert type(optimizer) is kind
    assert optimizer.final_learning_rate == 0.05
    assert optimizer.learning_rate.numpy() == np.float32(2e-3)
    assert optimizer.amsbound == (kind is AMSBound)


@pytest.mark.parametrize(
    "name",
    [
        "Adadelta",
        "Adafactor",
        "Adagrad",
        "Adam",
        "AdamW",
        "Adamax",
        "Ftrl",
        "Lion",
        "Nadam",
        "RMSprop",
        "SGD",
    ],
)
def test_every_optimizer_of_keras_steps(name):
    optimizer = build_optimizer(configured(name=name.lower()), 100)
    assert type(optimizer).__name__ == name
    assert step_once(optimizer) > 0


PLAIN = {
    n: {} for n in ["AdaBelief", "COCOB", "LAMB", "LazyAdam", "NovoGrad", "RectifiedAdam", "Yogi"]
}
WEIGHT_DECAY = {n: {"weight_decay": 0.01} for n in ("AdamW", "SGDW")}
OTHERS = {"ConditionalGradient": {"lambda_": 1.0}, "ProximalAdagrad": {}}
WRAPPERS = {n: {"optimizer": "SGD"} for n in ("Lookahead", "MovingAverage", "SWA")}
ADDONS = {**PLAIN, **WEIGHT_DECAY, **OTHERS, **WRAPPERS}


@pytest.mark.parametrize(("name", "args"), ADDONS.items(), ids=ADDONS)
def test_every_optimizer_of_tensorflow_addons_steps(name, args):
    optimizer = build_optimizer(configured(name=f"tfa:{name}", args=args), 100)
    assert type(optimizer).__name__ == name
    assert step_once(optimizer) != 0


def test_the_list_of_tensorflow_addons_above_is_whole():
    """Two are left out: a base class that cannot step, and one that needs a model's layers."""
    names = set(addons.optimizer_classes())
    assert names - set(ADDONS) == {"AveragedOptimizerWrapper", "MultiOptimizer"}


def test_an_addon_that_keras_lacks_needs_no_prefix_and_keras_comes_first():
    assert type(build_optimizer(configured(name="lamb"), 1)).__module__.startswith("tensorflow_ad")
    assert type(build_optimizer(configured(name="AdamW"), 1)).__module__.startswith("keras")


@pytest.mark.parametrize(
    ("name", "near"), [("adabund", "AdaBound"), ("tfa:lam", "LAMB"), ("adamm", "Adam")]
)
def test_an_unknown_name_is_refused_with_the_near_ones(name, near):
    with pytest.raises(ConfigError, match=rf"{name}.*near ones:.*{near}"):
        build_optimizer(configured(name=name), 1)


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"name": "sgd", "args": {"momentun": 0.9}}, "momentun.*momentum"),
        ({"name": "sgd", "args": {"momentum": 7.0}}, "momentum"),
        ({"name": "tfa:SGDW"}, "optimizer.args.weight_decay"),
        ({"name": "tfa:MultiOptimizer"}, "optimizers_and_layers"),
        ({"name": "tfa:SWA", "args": {"optimizer": "sgdd"}}, "near ones:.*SGD"),
        ({"schedule": "CosinDecay"}, "near ones:.*CosineDecay"),
        ({"schedule": "ExponentialDecay"}, "optimizer.schedule_args.decay_rate"),
        ({"schedule": "PiecewiseConstantDecay"}, "boundaries, values"),
        (
            {
                "schedule": "PiecewiseConstantDecay",
                "schedule_args": {"boundaries": (1, 2), "values": (1.0, 0.1)},
            },
            "schedule_args",
        ),
        ({"schedule": "CosineDecay", "schedule_args": {"alfa": 0.1}}, "alfa.*alpha"),
        (
            {"schedule": "CosineDecay", "schedule_args": {"initial_learning_rate": -1.0}},
            "begins at",
        ),
    ],
)
def test_bad_arguments_are_refused_by_name(changes, match):
    with pytest.raises(ConfigError, match=match) as caught:
        build_optimizer(configured(**changes), 100)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("schedule", "args", "step", "expected"),
    [
        # 0.002 * (1 + cos(pi * 50 / 100)) / 2, ending at 0 with the run.
        ("cosinedecay", {}, 50, 1e-3),
        ("CosineDecay", {}, 100, 0.0),
        ("CosineDecay", {"decay_steps": 50}, 50, 0.0),
        # 0.002 * 0.5 ** (50 / 100).
        ("ExponentialDecay", {"decay_rate": 0.5}, 50, 2e-3 * 0.5**0.5),
        # 0.002 / (1 + 3 * 100 / 100).
        ("InverseTimeDecay", {"decay_rate": 3.0}, 100, 5e-4),
        # From 0.002 to 0.0001 in a straight line.
        ("PolynomialDecay", {}, 50, 1.05e-3),
        ("PiecewiseConstantDecay", {"boundaries": (10,), "values": (1e-2, 1e-3)}, 11, 1e-3),
        # The first period is the run: the cosine again.
        ("CosineDecayRestarts", {}, 50, 1e-3),
    ],
)
def test_schedules_by_name_last_as_long_as_the_run(schedule, args, step, expected):
    rate = build_schedule(configured(schedule=schedule, schedule_args=args), 100)
    assert float(rate(step)) == pytest.approx(expected, abs=1e-8)


def test_schedules_drive_addons_and_wrapped_optimizers_too():
    """LAMB and SWA over SGD at the rate of step 0, then a 100th of it."""
    changes = {
        "schedule": "PiecewiseConstantDecay",
        "schedule_args": {"boundaries": [0], "values": [1e-2, 1e-4]},
    }
    args = {"optimizer": "sgd", "start_averaging": 100}
    optimizer = build_optimizer(configured(name="SWA", args=args, **changes), 100)
    weight = tf.Variable([1.0])
    path = [1.0]
    for _ in range(2):
        optimizer.apply_gradients([(tf.constant([1.0]), weight)])
        path.append(float(weight.numpy()[0]))
    np.testing.assert_allclose(-np.diff(path), [1e-2, 1e-4], rtol=1e-2)


def test_args_reach_the_base_class():
    optimizer = build_optimizer(configured(args={"clipnorm": 0.5, "gamma": 0.1}), 1)
    assert (optimizer.clipnorm, optimizer.gamma) == (0.5, 0.1)
