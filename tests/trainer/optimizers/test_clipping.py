"""Clipped gradients: those of plain Keras, on any number of replicas, for every optimizer."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from preprocess.shell.errors import ConfigError
from tests.trainer.conftest import strategy
from tests.trainer.optimizers.plain_keras import check_equal, configured, ours, plain
from tests.trainer.stacks import needs_addons
from trainer.config.learning_sections import OptimizerConfig
from trainer.optimizers.clipping import apply_clipped, clip_function

# Our key, Keras's argument, and a limit below what most gradients of the classes have.
KINDS = [
    ("clip_global_norm", "global_clipnorm", 0.5),
    ("clip_norm", "clipnorm", 0.2),
    ("clip_value", "clipvalue", 0.02),
]


@pytest.fixture(scope="module")
def unclipped(class_data):
    return ours(configured(), class_data, 1)


@pytest.mark.parametrize(("key", "argument", "limit"), KINDS, ids=[kind[0] for kind in KINDS])
def test_fifty_steps_are_those_of_plain_keras(key, argument, limit, class_data, unclipped):
    """Which clips the gradient of the whole batch; a clipping of each replica's part would not."""
    config = configured(**{f"optimizer__{key}": limit})
    optimizer = tf.keras.optimizers.SGD(0.1, **{argument: limit})

    def update(gradients, variables):
        optimizer.apply_gradients(zip(gradients, variables, strict=True))

    expected = plain(config, class_data, update)
    assert max(np.abs(a - b).max() for a, b in zip(expected, unclipped, strict=True)) > 1e-2
    for replicas in (1, 2):
        check_equal(ours(config, class_data, replicas), expected)


def clip(gradients, **keys):
    function = clip_function(dataclasses.replace(OptimizerConfig(), **keys))
    return [each.numpy() for each in function([tf.constant(each) for each in gradients])]


def test_what_each_key_clips():
    """[3, 0] and [4]: norms 3 and 4, of both together 5."""
    gradients = [[3.0, 0.0], [4.0]]
    for keys, expected in [
        ({"clip_global_norm": 2.5}, ([1.5, 0.0], [2.0])),
        ({"clip_global_norm": 5.5}, gradients),
        ({"clip_norm": 3.5}, ([3.0, 0.0], [3.5])),
        ({"clip_value": 2.0}, ([2.0, 0.0], [2.0])),
    ]:
        for left, right in zip(clip(gradients, **keys), expected, strict=True):
            np.testing.assert_allclose(left, right, rtol=1e-6)
    assert clip_function(OptimizerConfig()) is None


@pytest.mark.parametrize("key", [kind[0] for kind in KINDS])
@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
def test_what_is_not_finite_is_not_hidden(key, value):
    clipped = np.concatenate(clip([[1.0, value], [4.0]], **{key: 1.0}))
    assert not np.isfinite(clipped).all()


def test_an_overflow_is_still_seen_by_loss_scaling():
    """The step is left out and the scale halved, with a gradient that clipping would make 1."""
    function = clip_function(dataclasses.replace(OptimizerConfig(), clip_value=1.0))
    with strategy(2).scope():
        weight = tf.Variable([2.0])
        optimizer = tf.keras.mixed_precision.LossScaleOptimizer(tf.keras.optimizers.SGD(1.0))

    @tf.function
    def step(gradient):
        # Computed on each replica, half of it, as a gradient is.
        strategy(2).run(lambda: apply_clipped(optimizer, [gradient / 2], [weight], function))

    scale = optimizer.loss_scale.numpy()
    step(tf.constant([np.inf]))
    assert (weight.numpy()[0], optimizer.loss_scale.numpy()) == (2.0, scale / 2)
    step(tf.constant([7.0]))
    assert weight.numpy()[0] == 1.0


def test_a_row_named_twice_counts_with_its_sum_and_none_is_left_out():
    """Rows 1 and 1 with 3 and 1 are 4, clipped to 2."""
    function = clip_function(dataclasses.replace(OptimizerConfig(), clip_norm=2.0))
    optimizer = tf.keras.optimizers.SGD(1.0)
    table, unused = tf.Variable([[0.0], [0.0]]), tf.Variable(5.0)
    rows = tf.IndexedSlices(tf.constant([[3.0], [1.0]]), tf.constant([1, 1]), tf.constant([2, 1]))
    apply_clipped(optimizer, [rows, None], [table, unused], function)
    np.testing.assert_allclose(table, [[0.0], [-2.0]])
    assert unused.numpy() == 5.0


@needs_addons
def test_optimizers_of_the_legacy_kind_are_clipped_too(class_data):
    """SGDW without decay is SGD."""
    keys = {"optimizer__clip_global_norm": 0.5}
    legacy = {"optimizer__name": "tfa:SGDW", "optimizer__args": {"weight_decay": 0.0}}
    expected = ours(configured(**keys), class_data, 2, 10)
    check_equal(ours(configured(**keys, **legacy), class_data, 2, 10), expected)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"optimizer__clip_norm": 1.0, "optimizer__clip_value": 2.0},
            "optimizer.clip_norm 1 and optimizer.clip_value 2 each clip .* keep one",
        ),
        (
            {"optimizer__clip_norm": 1.0, "optimizer__args": {"global_clipnorm": 1.0}},
            "optimizer.clip_norm 1 and optimizer.args.global_clipnorm each clip .* keep one",
        ),
        ({"optimizer__clip_value": -1.0}, "optimizer.clip_value.*at least 0"),
    ],
)
def test_two_ways_to_clip_are_refused(changes, words):
    with pytest.raises(ConfigError, match=words):
        configured(**changes)
    configured(optimizer__args={"clipnorm": 1.0})
