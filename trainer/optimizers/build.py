"""An optimizer and its learning-rate schedule, from the keys of `optimizer`."""

import difflib
import inspect
from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from trainer import addons
from trainer.errors import ConfigError
from trainer.optimizers.adabound import AdaBound, AMSBound

OURS = {"AdaBound": AdaBound, "AMSBound": AMSBound}
ADDONS_PREFIX = "tfa:"
# Keys of `optimizer` that say which optimizer, not how it steps.
STRUCTURE = {"name", "schedule", "schedule_args", "args"}
# Arguments that mean "when the schedule ends", filled with the length of the run.
SCHEDULE_LENGTHS = ("decay_steps", "first_decay_steps")


def _subclasses(module: Any, base: type) -> dict[str, type]:
    found = vars(module).items()
    return {n: c for n, c in found if isinstance(c, type) and issubclass(c, base) and c is not base}


def _pick(name: str, classes: Mapping[str, type]) -> type | None:
    return {known.lower(): cls for known, cls in classes.items()}.get(name.lower())


def _near(name: str, known: list[str]) -> str:
    by_lower = {k.lower(): k for k in known}
    near = difflib.get_close_matches(name.lower(), by_lower, n=4, cutoff=0.5)
    return ", ".join(by_lower[n] for n in near) or ", ".join(sorted(known, key=str.lower))


def optimizer_class(name: str) -> type:
    """The optimizer of a name, in any case: ours, then Keras's, then tensorflow-addons'.

    Args:
      name: "adabound", "Adam", "LAMB"; "tfa:AdamW" where both have one.

    Raises:
      ConfigError: nobody has it; the message names the near ones.
    """
    wanted = name.lower().removeprefix(ADDONS_PREFIX)
    keras = _subclasses(tf.keras.optimizers, tf.keras.optimizers.Optimizer)
    own = {} if name.lower().startswith(ADDONS_PREFIX) else {**keras, **OURS}
    found = _pick(wanted, own)
    if found is None:
        theirs = addons.optimizer_classes()
        found = _pick(wanted, theirs)
        if found is None:
            near = _near(wanted, [*own, *theirs])
            raise ConfigError(f"optimizer.name={name!r} is not an optimizer; near ones: {near}")
    return found


def _parameters(cls: type) -> dict[str, inspect.Parameter]:
    skipped = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
    parameters = inspect.signature(AdaBound if cls is AMSBound else cls).parameters
    return {n: p for n, p in parameters.items() if p.kind not in skipped and n != "self"}


def _construct(cls: type, arguments: dict[str, Any], key: str) -> Any:
    """Call `cls`, turning what it refuses into a ConfigError about `key`."""
    parameters = _parameters(cls)
    missing = [n for n, p in parameters.items() if p.default is p.empty and n not in arguments]
    if missing:
        raise ConfigError(f"{cls.__name__} needs {', '.join(missing)}: set {key}.{missing[0]}")
    try:
        return cls(**arguments)
    except (TypeError, ValueError, RuntimeError, tf.errors.OpError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ConfigError(
            f"{key}: {cls.__name__} refuses {arguments} ({reason}); it takes "
            f"{', '.join(parameters)}"
        ) from error


def build_schedule(optimizer: Any, total_steps: int) -> Any:
    """The learning rate: a number, or one of Keras's schedules.

    Args:
      optimizer: as for `build_optimizer`.
      total_steps: length of the run, the `decay_steps` of a schedule that is given none.

    Raises:
      ConfigError: an unknown schedule, or arguments it refuses.
    """
    name = optimizer.schedule
    if not name:
        return optimizer.learning_rate
    base = tf.keras.optimizers.schedules.LearningRateSchedule
    known = _subclasses(tf.keras.optimizers.schedules, base)
    cls = _pick(name, known)
    if cls is None:
        near = _near(name, list(known))
        raise ConfigError(f"optimizer.schedule={name!r} is not a schedule; near ones: {near}")
    defaults = {"initial_learning_rate": optimizer.learning_rate}
    defaults.update(dict.fromkeys(SCHEDULE_LENGTHS, max(1, total_steps)))
    given = {n: _plain(v) for n, v in dict(optimizer.schedule_args).items()}
    taken = {n: v for n, v in defaults.items() if n in _parameters(cls)}
    schedule = _construct(cls, {**taken, **given}, "optimizer.schedule_args")
    # Some mistakes, such as boundaries and values of unequal length, show at the first call only.
    try:
        first = float(schedule(0))
    except Exception as error:
        raise ConfigError(f"optimizer.schedule_args: {name} with {given} fails: {error}") from error
    if not 0 <= first < float("inf"):
        raise ConfigError(f"optimizer.schedule={name!r} with {given} begins at {first}")
    return schedule


def _plain(value: Any) -> Any:
    """Sequences as lists, which is what Keras's schedules and configurations hold."""
    return list(value) if isinstance(value, tuple) else value


def build_optimizer(optimizer: Any, total_steps: int) -> Any:
    """The optimizer that `optimizer` asks for.

    `args` goes to the class as it is. Of the other keys (`learning_rate`, `final_learning_rate`,
    ...) the class gets those it takes. An optimizer of tensorflow-addons that wraps another gets
    it from `args.optimizer`, a name.

    Args:
      optimizer: a mapping with attribute access (ConfigDict): `name`, `learning_rate`, `schedule`
        ('' = constant), `schedule_args`, `args`, and any argument of an optimizer.
      total_steps: training steps of the whole run, for schedules.

    Returns:
      A Keras optimizer; tensorflow-addons' are of Keras's legacy kind.

    Raises:
      ConfigError: an unknown name, or arguments the class refuses.
    """
    cls = optimizer_class(optimizer.name)
    rate = build_schedule(optimizer, total_steps)
    return _build(cls, optimizer, rate, {n: _plain(v) for n, v in dict(optimizer.args).items()})


def _build(cls: type, optimizer: Any, rate: Any, args: dict[str, Any]) -> Any:
    parameters = _parameters(cls)
    taken = {n: optimizer[n] for n in optimizer if n not in STRUCTURE and n in parameters}
    if "learning_rate" in parameters:
        taken["learning_rate"] = rate
    inner = args.get("optimizer")
    if isinstance(inner, str):
        args = {**args, "optimizer": _wrapped(inner, optimizer, rate)}
    return _construct(cls, {**taken, **args}, "optimizer.args")


def _wrapped(name: str, optimizer: Any, rate: Any) -> Any:
    """The optimizer inside one of tensorflow-addons' wrappers, which take the legacy kind only."""
    legacy = _subclasses(tf.keras.optimizers.legacy, tf.keras.optimizers.legacy.Optimizer)
    known = {**addons.optimizer_classes(), **legacy}
    cls = _pick(name.lower().removeprefix(ADDONS_PREFIX), known)
    if cls is None:
        near = _near(name, list(known))
        raise ConfigError(f"optimizer.args.optimizer={name!r}: not one to wrap; near ones: {near}")
    return _build(cls, optimizer, rate, {})
