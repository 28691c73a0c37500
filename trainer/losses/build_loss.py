"""A loss from the keys of `loss`."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Mapping

import tensorflow as tf

from preprocess.shell.errors import ConfigError
from preprocess.shell.references import is_reference, load_function
from trainer.compat.autograph import converted
from trainer.config.entries import LOSSES, check_loss
from trainer.config.learning_sections import LossConfig
from trainer.config.task_table import task_kind

_TAKES = ("values", "targets")


def build_loss(task: str, loss: LossConfig) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
    """The function (values, targets) -> float [b] for the section `loss`.

    The loss gets the keys of `loss` that it takes, and all of `loss.args`.

    Args:
      task: the task's name.
      loss: the section of the configuration.

    Raises:
      ConfigError: unknown loss, a loss for another task, or settings that it does not take.
    """
    name = loss.name or task_kind(task).loss
    if is_reference(name):
        return _own(name, loss.args)
    check_loss(name, task)
    build = LOSSES.module(name).build
    parameters = inspect.signature(build).parameters
    for argument in loss.args:
        if argument not in parameters:
            takes = ", ".join(parameters) or "nothing"
            raise ConfigError(f"loss.args.{argument}: the loss {name} takes {takes}")
    keys = {field.name: getattr(loss, field.name) for field in dataclasses.fields(loss)}
    settings = {key: value for key, value in keys.items() if key in parameters} | dict(loss.args)
    missing = [
        each.name
        for each in parameters.values()
        if each.default is each.empty and each.name not in settings
    ]
    if missing:
        raise ConfigError(f"the loss {name} needs {missing[0]}: set loss.args.{missing[0]}")
    function: Callable[[tf.Tensor, tf.Tensor], tf.Tensor] = build(**settings)
    return function


def _own(reference: str, settings: Mapping[str, object]) -> Callable[..., tf.Tensor]:
    """A user's function (values, targets, **loss.args) -> [b], which gets float32 at validation,
    too.
    """
    function = converted(load_function(reference, "loss.name", _TAKES, settings, "loss.args"))

    def loss(values: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
        targets = tf.convert_to_tensor(targets)
        if targets.dtype.is_floating:
            targets = tf.cast(targets, tf.float32)
        return function(tf.cast(values, tf.float32), targets, **settings)

    return loss
