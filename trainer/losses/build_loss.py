"""A loss from the keys of `loss`."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING

from preprocess.shell.errors import ConfigError
from trainer.config.entries import LOSSES, check_loss
from trainer.config.keys import LossConfig
from trainer.config.task_table import task_kind

if TYPE_CHECKING:
    import tensorflow as tf


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
