"""Weight decay that leaves out biases and normalisation, and the regularizer of the head."""

import dataclasses

import pytest
import tensorflow as tf

from preprocess.shell.errors import ConfigError
from tests.trainer.conftest import strategy
from tests.trainer.optimizers.plain_keras import check_equal, configured, ours, plain
from tests.trainer.stacks import needs_addons
from trainer.config.learning_sections import OptimizerConfig
from trainer.optimizers import build_optimizer
from trainer.optimizers.weight_decay import decays, leave_out

RATE, DECAY, HEAD_L1, HEAD_L2 = 0.1, 0.05, 0.002, 0.03
HEAD = -2  # its kernel, before its bias, at the end of a model's variables


def test_fifty_steps_decay_the_kernels_and_regularise_the_head(class_data):
    """Decoupled decay as Keras has it, then the gradient with that of l1 |w| + l2 w^2."""
    changes = {
        "optimizer__weight_decay": DECAY,
        "model__head_l1": HEAD_L1,
        "model__head_l2": HEAD_L2,
    }

    def update(gradients, variables):
        head = variables[HEAD]
        gradients[HEAD] += HEAD_L1 * tf.sign(head) + 2 * HEAD_L2 * head
        for gradient, variable in zip(gradients, variables, strict=True):
            if "kernel" in variable.name:
                variable.assign_sub(RATE * DECAY * variable)
            variable.assign_sub(RATE * gradient)

    config = configured(**changes)
    expected = plain(config, class_data, update)
    for replicas in (1, 2):
        check_equal(ours(config, class_data, replicas), expected)


def layers():
    """One of each kind, the last with a bias of two dimensions, by name."""

    class TwoBiases(tf.keras.layers.Layer):
        def build(self, shape):
            self.bias = self.add_weight("bias", [2, 3])

        def call(self, inputs):
            return inputs[:, None, :3] + self.bias

    inputs = tf.keras.Input((8, 8, 4))
    each = tf.keras.layers
    x = each.SeparableConv2D(4, 3, name="separable")(inputs)
    x = each.BatchNormalization(name="batch")(x)
    x = each.LayerNormalization(axis=[1, 2, 3], name="layer")(x)
    x = each.GroupNormalization(2, name="group")(x)
    x = each.Dense(5, name="dense")(each.Flatten()(x))
    return tf.keras.Model(inputs, TwoBiases(name="two")(x))


def test_what_decays():
    decaying = [v.name.split(":")[0] for v in layers().trainable_variables if decays(v)]
    assert decaying == ["separable/depthwise_kernel", "separable/pointwise_kernel", "dense/kernel"]


@pytest.mark.parametrize("replicas", [1, 2])
@pytest.mark.parametrize("name", ["adabound", "amsbound", "adam", "adamw", "sgd"])
def test_a_step_without_gradient_moves_what_decays_alone(name, replicas):
    """The weights are 1 and the rate is 0.1: decoupled decay leaves 1 - 0.1 * 0.5 of a kernel."""
    section = dataclasses.replace(
        OptimizerConfig(), name=name, learning_rate=RATE, weight_decay=0.5
    )
    with strategy(replicas).scope():
        kernel = tf.Variable([[1.0]], name="dense/kernel")
        bias = tf.Variable([1.0], name="dense/bias")
        optimizer = build_optimizer(section, 1)
        leave_out(optimizer, section, [kernel, bias])
        optimizer.build([kernel, bias])

    def on_a_replica():
        optimizer.apply_gradients([(tf.zeros_like(each), each) for each in (kernel, bias)])

    @tf.function
    def step():
        strategy(replicas).run(on_a_replica)

    step()
    assert bias.numpy().item() == 1.0
    if name in ("adabound", "amsbound"):  # its decay is in the gradient
        assert kernel.numpy().item() < 1.0
    else:
        assert kernel.numpy().item() == pytest.approx(0.95)


def test_the_arguments_decay_all_as_before():
    section = dataclasses.replace(OptimizerConfig(), name="sgd", args={"weight_decay": 0.5})
    bias = tf.Variable([1.0], name="bias")
    optimizer = build_optimizer(section, 1)
    leave_out(optimizer, section, [bias])
    optimizer.apply_gradients([(tf.zeros([1]), bias)])
    assert bias.numpy().item() < 1.0
    assert build_optimizer(dataclasses.replace(section, name="adamw", args={}), 1).weight_decay


@needs_addons
def test_an_optimizer_with_a_decay_of_its_own_is_refused():
    section = dataclasses.replace(OptimizerConfig(), name="LAMB", weight_decay=0.1)
    with pytest.raises(ConfigError, match=r"weight_decay=0.1: LAMB .* optimizer.args, or .* AdamW"):
        build_optimizer(section, 1)
