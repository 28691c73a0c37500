"""A loss from the keys of `loss`."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Collection, Mapping

import tensorflow as tf

from preprocess.shell.errors import ConfigError
from preprocess.shell.references import is_reference, load_function, load_reference
from trainer.compat.autograph import converted
from trainer.config.entries import LOSSES, check_loss
from trainer.config.keys import Config, with_values
from trainer.config.learning_sections import LossConfig
from trainer.config.parts import NAMES
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
    name = _name(task, loss)
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


def with_its_settings(configs: Mapping[str, Config]) -> dict[str, Config]:
    """The configurations of the parts of a task, each with those of their common `loss.args` that
    its loss takes.

    Raises:
      ConfigError: no loss takes one of them, or a user's own is not there or cannot be called;
        named as `loss.names.PART`, which the parts do not know of.
    """
    found, untaken = {}, {name for config in configs.values() for name in config.loss.args}
    for part, config in configs.items():
        key, name = f"{NAMES}.{part}", _name(config.task, config.loss)
        taken = _taken(name, key, config.loss.args)
        untaken -= taken
        args = {each: value for each, value in config.loss.args.items() if each in taken}
        if is_reference(name):
            load_function(name, key, _TAKES, args, "loss.args")
        found[part] = with_values(config, {"loss.args": args})
    if untaken:
        losses = ", ".join(_name(config.task, config.loss) for config in configs.values())
        raise ConfigError(f"loss.args.{min(untaken)}: none of the losses {losses} takes it")
    return found


def _taken(name: str, key: str, args: Collection[str]) -> set[str]:
    """Those of the names in `loss.args` that a loss takes, which was given as `key`."""
    takes = load_reference(name, key) if is_reference(name) else LOSSES.module(name).build
    if not callable(takes):
        return set()
    try:
        parameters = inspect.signature(takes).parameters
    except ValueError:  # of C, without a signature
        return {*args}
    if any(each.kind is each.VAR_KEYWORD for each in parameters.values()):
        return {*args}
    return {*args} & {*parameters}


def _name(task: str, loss: LossConfig) -> str:
    return loss.name or task_kind(task).loss


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
