"""Averages of the weights that an optimizer keeps: by `optimizer.ema_momentum`, Keras's `use_ema`
or one of tensorflow-addons' wrappers.

Such an optimizer updates one set of weights and averages them into another, and the averages are
what its user wants. Here they replace the weights while the model is validated or saved; training
continues with the updated weights. BatchNorm's statistics are those of the updated weights.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator

import numpy as np
import tensorflow as tf

from preprocess.shell.errors import ConfigError
from trainer.compat import addons
from trainer.config.learning_sections import OptimizerConfig
from trainer.optimizers.current_rate import steps_of

START = "start_averaging"  # of tensorflow-addons' SWA: its averages are 0 until this step
MOST_OF_FIRST = 0.05  # share of the first weights in an average at a run's end, above which we warn


def averaging_arguments(cls: type, optimizer: OptimizerConfig) -> dict[str, object]:
    """The arguments with which an optimizer of Keras keeps an exponential moving average."""
    if not optimizer.ema_momentum or not issubclass(cls, tf.keras.optimizers.Optimizer):
        return {}
    return {
        "use_ema": True,
        "ema_momentum": optimizer.ema_momentum,
        # RMSprop would train on with the averages, every 100 steps.
        "ema_overwrite_frequency": None,
    }


def with_averages(
    built: tf.keras.optimizers.Optimizer, optimizer: OptimizerConfig
) -> tf.keras.optimizers.Optimizer:
    """An optimizer, in tensorflow-addons' wrapper that averages if it is one of theirs.

    Raises:
      ConfigError: it averages by itself.
    """
    if not optimizer.ema_momentum or getattr(built, "use_ema", False):
        return built
    if keeps_averages(built):
        raise ConfigError(
            f"optimizer.ema_momentum={optimizer.ema_momentum:g} and optimizer.name="
            f"{optimizer.name} both average the weights: keep one of them"
        )
    wrapper = addons.optimizer_classes()["MovingAverage"]
    return wrapper(built, average_decay=optimizer.ema_momentum)


def averages_in_words(optimizer: OptimizerConfig, total_steps: int) -> str:
    """A warning where a run is too short for its averages to forget the first weights; else ""."""
    updates = total_steps // optimizer.accumulate_steps
    share = optimizer.ema_momentum**updates if optimizer.ema_momentum else 0.0
    if not updates or share <= MOST_OF_FIRST:
        return ""
    most = math.floor(MOST_OF_FIRST ** (1 / updates) * 1e4) / 1e4
    return (
        f"warning: optimizer.ema_momentum={optimizer.ema_momentum:g}: after the run's "
        f"{updates} updates {share:.0%} of an average is still what the weights were at the "
        f"start; set it to {most:g} or less"
    )


class Averages:
    """The averages of a model's trainable variables, if its optimizer keeps any."""

    def __init__(self, model: tf.keras.Model) -> None:
        self._model = model
        self._stepped: list[np.ndarray] | None = None

    @contextlib.contextmanager
    def in_place(self) -> Iterator[list[np.ndarray] | None]:
        """Inside this context the model's weights are the averages; contexts may be nested.

        Yields:
          The updated weights, arrays in the order of `model.trainable_variables`; None if the
          optimizer keeps no averages, or has none yet.
        """
        optimizer, variables = self._model.optimizer, self._model.trainable_variables
        averages = averages_of(optimizer, variables) if self._stepped is None else []
        if not averages:
            yield self._stepped
            return
        self._stepped = [variable.numpy() for variable in variables]
        try:
            put(variables, [average.numpy() for average in averages])
            yield self._stepped
        finally:
            put(variables, self._stepped)
            self._stepped = None


def put(variables: list[tf.Variable], values: list[np.ndarray]) -> None:
    """Assigns arrays to variables one by one; raises ValueError if they do not match."""
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)


def keeps_averages(optimizer: tf.keras.optimizers.Optimizer) -> bool:
    """Whether an optimizer keeps averages of weights."""
    inner = getattr(optimizer, "inner_optimizer", optimizer)  # inside loss scaling
    return bool(getattr(inner, "use_ema", False)) or hasattr(inner, "assign_average_vars")


def averages_of(
    optimizer: tf.keras.optimizers.Optimizer, variables: list[tf.Variable]
) -> list[tf.Variable]:
    """The variables that hold averages of others; [] if there are none, or none yet."""
    if optimizer is None or not keeps_averages(optimizer):
        return []
    inner = getattr(optimizer, "inner_optimizer", optimizer)
    if steps_of(inner) <= _first_step(inner):
        return []
    if getattr(inner, "use_ema", False):
        kept = inner._model_variables_moving_average
        return [kept[inner._index_dict[inner._var_key(variable)]] for variable in variables]
    return [inner.get_slot(variable, "average") for variable in variables]


def check_averages(optimizer: tf.keras.optimizers.Optimizer, total_steps: int) -> None:
    """Raises ConfigError if a run ends before the first average."""
    inner = getattr(optimizer, "inner_optimizer", optimizer)
    if keeps_averages(inner) and _first_step(inner) >= total_steps:
        raise ConfigError(
            f"optimizer.args.{START}={_first_step(inner)}: the run has only {total_steps} steps, "
            "so nothing would be averaged; set a smaller number"
        )


def _first_step(optimizer: tf.keras.optimizers.Optimizer) -> int:
    """The step after which there are averages."""
    hypers = getattr(optimizer, "_hyper", {})
    return int(tf.keras.backend.get_value(optimizer._get_hyper(START))) if START in hypers else 0
