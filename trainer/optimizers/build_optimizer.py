"""Builds an optimizer from the keys of `optimizer`."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from preprocess.shell.errors import ConfigError
from preprocess.shell.references import load_class
from trainer.compat import addons
from trainer.config.entries import OPTIMIZERS
from trainer.config.learning_sections import OptimizerConfig
from trainer.config.own_code import blamed, is_own
from trainer.optimizers.averages import averaging_arguments, with_averages
from trainer.optimizers.by_name import as_list, construct, near_names, parameters, pick, subclasses
from trainer.optimizers.current_rate import has_rate, innermost
from trainer.optimizers.schedules import Rate, build_schedule
from trainer.optimizers.warm_up import WarmUp
from trainer.optimizers.weight_decay import decay_argument

KEY = "optimizer.name"
ADDONS_PREFIX = "tfa:"
# Keys of `optimizer` that select the optimizer or make its schedule, not arguments.
STRUCTURE = {
    *("name", "schedule", "schedule_args", "warmup_steps"),
    *("weight_decay", "ema_momentum", "accumulate_steps", "args"),
}


def _ours() -> dict[str, type]:
    """This package's optimizers, by class name; file names are the same, ignoring case."""
    found: dict[str, type] = {}
    for name in OPTIMIZERS.names():
        classes = subclasses(OPTIMIZERS.module(name), tf.keras.optimizers.Optimizer)
        found |= {each: cls for each, cls in classes.items() if each.lower() == name}
    return found


def optimizer_class(name: str) -> type:
    """The optimizer of a name, in any case: ours, then Keras's, then tensorflow-addons'; or a
    user's own.

    Args:
      name: "adabound", "Adam", "LAMB"; "tfa:AdamW" where both have one.

    Raises:
      ConfigError: unknown name; the message lists similar ones.
    """
    if is_own(KEY, name):
        return load_class(name, KEY, tf.keras.optimizers.Optimizer)
    wanted = name.lower().removeprefix(ADDONS_PREFIX)
    keras = subclasses(tf.keras.optimizers, tf.keras.optimizers.Optimizer)
    own = {} if name.lower().startswith(ADDONS_PREFIX) else {**keras, **_ours()}
    found = pick(wanted, own)
    if found is None:
        theirs = addons.optimizer_classes()
        found = pick(wanted, theirs)
        if found is None:
            near = near_names(wanted, [*own, *theirs])
            unknown = f"optimizer.name={name!r} is unknown; similar names: {near}"
            if addons.installed():
                raise ConfigError(unknown)
            if name.lower().startswith(ADDONS_PREFIX):
                addons.require(f"optimizer.name={name!r}", f"take one of Keras's, such as {near}")
            raise ConfigError(f"{unknown}; those of tensorflow-addons are {addons.WITH_THEM}")
    return found


def build_optimizer(optimizer: OptimizerConfig, total_steps: int) -> tf.keras.optimizers.Optimizer:
    """The optimizer that the section `optimizer` describes.

    `args` is passed to the class unchanged. Of the other keys (`learning_rate`,
    `final_learning_rate`, ...) the class gets those that it takes. An optimizer of
    tensorflow-addons that wraps another one gets it from `args.optimizer`, a name.

    Args:
      optimizer: the section of the configuration.
      total_steps: training steps of the whole run, for schedules; 0 = not yet known.

    Returns:
      A Keras optimizer; tensorflow-addons' are of Keras's legacy kind.

    Raises:
      ConfigError: unknown name, or arguments that the class rejects.
    """
    cls = optimizer_class(optimizer.name)
    rate = build_schedule(optimizer, total_steps)
    args = {n: as_list(v) for n, v in optimizer.args.items()}
    if is_own(KEY, optimizer.name):
        with blamed(KEY, optimizer.name):
            built = _build(cls, optimizer, rate, args)
        _check_passed_on(built, optimizer)
    else:
        built = _build(cls, optimizer, rate, args)
    inner = type(innermost(built)).__name__
    if callable(rate) and (not has_rate(built) or inner in addons.WITHOUT_SCHEDULE):
        given = f"schedule={optimizer.schedule!r}"
        if not optimizer.schedule:
            given = f"warmup_steps={optimizer.warmup_steps}"
        raise ConfigError(f"optimizer.{given}: {inner} supports no schedule; leave it out")
    return with_averages(built, optimizer)


def _build(
    cls: type, optimizer: OptimizerConfig, rate: Rate, args: dict[str, Any]
) -> tf.keras.optimizers.Optimizer:
    takes = parameters(cls)
    taken = {n: v for n, v in vars(optimizer).items() if n not in STRUCTURE and n in takes}
    taken |= decay_argument(cls, optimizer) | averaging_arguments(cls, optimizer)
    if "learning_rate" in takes:
        taken["learning_rate"] = rate
    if "base_learning_rate" in takes and isinstance(rate, WarmUp):
        # AdaBound's bounds belong to the full rate, not to the first and smallest one.
        taken["base_learning_rate"] = rate.reached
    inner = args.get("optimizer")
    if isinstance(inner, str):
        args = {**args, "optimizer": _wrapped(inner, optimizer, rate)}
    return construct(cls, {**taken, **args}, "optimizer.args")


def _check_passed_on(built: tf.keras.optimizers.Optimizer, optimizer: OptimizerConfig) -> None:
    """Raises ConfigError if a user's class does not pass its arguments on to Keras's."""
    for key in ("weight_decay", "ema_momentum"):
        wanted = getattr(optimizer, key)
        if wanted and getattr(built, key, None) != wanted:
            raise ConfigError(
                f"{KEY}={optimizer.name} ignores optimizer.{key}={wanted:g}: take **kwargs and "
                "pass them on, super().__init__(name=name, **kwargs)"
            )


def _wrapped(
    name: str,
    optimizer: OptimizerConfig,
    rate: Rate,
) -> tf.keras.optimizers.Optimizer:
    """The optimizer inside one of tensorflow-addons' wrappers, which take the legacy kind only."""
    legacy = subclasses(tf.keras.optimizers.legacy, tf.keras.optimizers.legacy.Optimizer)
    known = {**addons.optimizer_classes(), **legacy}
    cls = pick(name.lower().removeprefix(ADDONS_PREFIX), known)
    if cls is None:
        near = near_names(name, list(known))
        raise ConfigError(f"optimizer.args.optimizer={name!r} cannot be wrapped; try {near}")
    return _build(cls, optimizer, rate, {})
