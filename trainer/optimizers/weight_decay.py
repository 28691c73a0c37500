"""Weight decay by `optimizer.weight_decay`, which leaves out biases and normalisation.

Pulling these towards 0 regularises nothing: a bias has no scale to shrink, and the weights before a
normalisation make up for its scale. `optimizer.args.weight_decay` decays every weight, as Keras
does.
"""

from __future__ import annotations

from collections.abc import Iterable

import tensorflow as tf

from preprocess.shell.errors import ConfigError
from trainer.config.learning_sections import OptimizerConfig
from trainer.optimizers.current_rate import innermost

# By the last part of a variable's name, where a bias or a scale has several dimensions.
LEFT_OUT = ("bias", "beta", "gamma")


def decay_argument(cls: type, optimizer: OptimizerConfig) -> dict[str, float]:
    """The argument of an optimizer's class, if there is a weight decay.

    Raises:
      ConfigError: a legacy optimizer, which cannot leave out weights in a way common to all.
    """
    if not optimizer.weight_decay:
        return {}
    if not issubclass(cls, tf.keras.optimizers.Optimizer):
        raise ConfigError(
            f"optimizer.weight_decay={optimizer.weight_decay:g}: {cls.__name__} of "
            "tensorflow-addons has only its own weight decay, if any; set that by optimizer.args, "
            "or take an optimizer of Keras, such as AdamW"
        )
    return {"weight_decay": optimizer.weight_decay}


def leave_out(
    built: tf.keras.optimizers.Optimizer,
    optimizer: OptimizerConfig,
    variables: Iterable[tf.Variable],
) -> None:
    """Makes an optimizer leave out biases and normalisation; before its slots are created."""
    if optimizer.weight_decay:
        left = [variable for variable in variables if not decays(variable)]
        innermost(built).exclude_from_weight_decay(var_list=left)


def decays(variable: tf.Variable) -> bool:
    """Whether a variable is a kernel or an embedding, and no bias, scale or offset."""
    name = variable.name.rpartition("/")[2].partition(":")[0]
    return variable.shape.rank > 1 and name not in LEFT_OUT
