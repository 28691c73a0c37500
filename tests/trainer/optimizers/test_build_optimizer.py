import numpy as np
import pytest
import tensorflow as tf

from preprocess.shell.errors import ConfigError
from tests.trainer.stacks import needs_addons
from trainer.compat import addons
from trainer.config.learning_sections import OptimizerConfig
from trainer.optimizers import AdaBound, AMSBound, build_optimizer
from trainer.optimizers.schedules import build_schedule, schedule_in_words, stretched


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
    return OptimizerConfig(**{**keys, **changes})


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


@needs_addons
@pytest.mark.parametrize(("name", "args"), ADDONS.items(), ids=ADDONS)
def test_every_optimizer_of_tensorflow_addons_steps(name, args):
    optimizer = build_optimizer(configured(name=f"tfa:{name}", args=args), 100)
    assert type(optimizer).__name__ == name
    assert step_once(optimizer) != 0


@needs_addons
def test_the_list_of_tensorflow_addons_above_is_whole():
    """Two are left out: a base class that cannot step, and one that needs a model's layers."""
    names = set(addons.optimizer_classes())
    assert names - set(ADDONS) == {"AveragedOptimizerWrapper", "MultiOptimizer"}


@needs_addons
def test_an_addon_that_keras_lacks_needs_no_prefix_and_keras_comes_first():
    assert type(build_optimizer(configured(name="lamb"), 1)).__module__.startswith("tensorflow_ad")
    assert type(build_optimizer(configured(name="AdamW"), 1)).__module__.startswith("keras")


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("adabund", "AdaBound"),
        pytest.param("tfa:lam", "LAMB", marks=needs_addons),
        ("adamm", "Adam"),
    ],
)
def test_an_unknown_name_is_refused_with_the_near_ones(name, near):
    with pytest.raises(ConfigError, match=rf"{name}.*similar names:.*{near}"):
        build_optimizer(configured(name=name), 1)


@pytest.mark.skipif(addons.installed(), reason="for stacks without tensorflow-addons")
@pytest.mark.parametrize("name", ["LazyAdam", "tfa:LAMB"])
def test_without_addons_the_message_for_one_of_theirs_says_where_they_are(name):
    with pytest.raises(ConfigError, match=rf"{name}.*(such as|similar).*default stack only"):
        build_optimizer(configured(name=name), 1)


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"name": "sgd", "args": {"momentun": 0.9}}, "momentun.*momentum"),
        ({"name": "sgd", "args": {"momentum": 7.0}}, "momentum"),
        pytest.param({"name": "tfa:SGDW"}, "optimizer.args.weight_decay", marks=needs_addons),
        pytest.param({"name": "tfa:MultiOptimizer"}, "optimizers_and_layers", marks=needs_addons),
        pytest.param(
            {"name": "tfa:SWA", "args": {"optimizer": "sgdd"}},
            "cannot be wrapped; try .*SGD",
            marks=needs_addons,
        ),
        ({"schedule": "CosinDecay"}, "similar names:.*CosineDecay"),
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
            "starts at",
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


@needs_addons
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


WARM = {"warmup_steps": 25, "warmup_target": 1e-2, "initial_learning_rate": 0.0}


@pytest.mark.parametrize(
    ("args", "step", "expected"),
    [
        # In a straight line to 0.01 in 25 steps, then half a cosine over the other 75.
        (WARM, 25, 1e-2),
        (WARM, 62.5, 5e-3),
        (WARM, 100, 0.0),
        # A length of one's own counts after the warm-up, as Keras has it.
        ({**WARM, "decay_steps": 50}, 75, 0.0),
    ],
)
def test_warm_up_is_part_of_the_run(args, step, expected):
    rate = build_schedule(configured(schedule="CosineDecay", schedule_args=args), 100)
    assert float(rate(step)) == pytest.approx(expected, abs=1e-7)


def test_a_warm_up_longer_than_the_run_is_refused_where_the_length_is_known():
    optimizer = configured(schedule="CosineDecay", schedule_args=WARM)
    with pytest.raises(ConfigError, match="warmup_steps=25: the run has only 25 steps"):
        build_schedule(optimizer, 25)
    build_schedule(optimizer, 26)
    build_schedule(optimizer, 0)


def test_a_schedule_is_said_in_one_line():
    """A cosine over 101 steps ends 1/101 before its end: 0.01 * (1 + cos(pi * 75/76)) / 2."""
    optimizer = configured(schedule="CosineDecay", schedule_args=WARM)
    assert schedule_in_words(optimizer, 101) == (
        "learning rate by CosineDecay: starts at 0, at most 0.01, ends at 4.27e-06 after 101 steps"
    )
    assert schedule_in_words(configured(), 101) == ""


def test_a_longer_run_says_both_rates_where_its_schedule_is_stretched():
    """At step 50 a cosine over 50 steps is at 0 and one over 100 halfway, at 0.001."""
    cosine = configured(schedule="CosineDecay")
    assert "at step 50 is 0.001 instead of 0." in stretched(cosine, 50, 100, 50)
    own_length = configured(schedule="CosineDecay", schedule_args={"decay_steps": 80})
    assert stretched(own_length, 50, 100, 50) == ""
    assert stretched(configured(), 50, 100, 50) == ""
    assert stretched(cosine, 100, 100, 50) == ""
