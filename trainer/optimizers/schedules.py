"""Learning-rate schedules: Keras's, by name, or a user's own; by default as long as the run after
its warm-up.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Mapping
from typing import TypeAlias

import tensorflow as tf

from preprocess.shell.errors import ConfigError, UserError
from preprocess.shell.references import load_class, load_function, load_reference
from trainer.compat.autograph import converted
from trainer.config.learning_sections import OptimizerConfig
from trainer.config.own_code import blamed, is_own
from trainer.optimizers.by_name import as_list, construct, near_names, parameters, pick, subclasses
from trainer.optimizers.warm_up import WarmUp

KEY = "optimizer.schedule"
# Arguments that mean "when the schedule ends"; by default the length of the run.
LENGTHS = ("decay_steps", "first_decay_steps")
WARMUP = "warmup_steps"  # of `optimizer` and of CosineDecay: lengths count from its end
SAMPLES = 1000  # points at which the highest rate of a schedule is searched

Rate: TypeAlias = "float | tf.keras.optimizers.schedules.LearningRateSchedule"


def build_schedule(optimizer: OptimizerConfig, total_steps: int) -> Rate:
    """The learning rate: a number, or a schedule, after a warm-up if there is one.

    Args:
      optimizer: the section of the configuration.
      total_steps: length of the run, warm-up and decay together, for schedules without their own
      decay_steps; 0 = not yet known. A schedule counts updates: with accumulation, one in so many
      steps.

    Raises:
      ConfigError: unknown schedule, rejected arguments, or a warm-up longer than the run.
    """
    warmup, updates = optimizer.warmup_steps, total_steps // optimizer.accumulate_steps
    if not warmup:
        return _rate(optimizer, updates)
    _check_warm_up(f"optimizer.{WARMUP}", warmup, updates, _unit(optimizer))
    return WarmUp(_rate(optimizer, max(0, updates - warmup)), warmup)


def _unit(optimizer: OptimizerConfig) -> str:
    """What a schedule counts."""
    return "steps" if optimizer.accumulate_steps == 1 else "updates"


def _check_warm_up(key: str, warmup: int, length: int, unit: str) -> None:
    """Raises ConfigError if a run ends in its warm-up."""
    if 0 < length <= warmup:
        raise ConfigError(
            f"{key}={warmup}: the run has only {length} {unit}, so the warm-up would not end; "
            "set a smaller number, or raise epochs"
        )


def _rate(optimizer: OptimizerConfig, steps: int) -> Rate:
    """The learning rate of so many steps: a number, one of Keras's schedules, or a user's own class
    or function.
    """
    name = optimizer.schedule
    if not name:
        return optimizer.learning_rate
    if is_own(KEY, name) and not isinstance(load_reference(name, KEY), type):
        return _own_function(name, steps, optimizer.schedule_args)
    cls = _class(name)
    given = {n: as_list(v) for n, v in optimizer.schedule_args.items()}
    warmup = given.get(WARMUP, 0)
    decay = steps
    if isinstance(warmup, int):
        _check_warm_up(f"optimizer.schedule_args.{WARMUP}", warmup, steps, _unit(optimizer))
        decay -= warmup
    defaults = {"initial_learning_rate": optimizer.learning_rate}
    defaults.update(dict.fromkeys(LENGTHS, max(1, decay)))
    taken = {n: v for n, v in defaults.items() if n in parameters(cls)}
    schedule = construct(cls, {**taken, **given}, "optimizer.schedule_args")
    # Some mistakes, such as boundaries and values of unequal length, only show at the first call.
    own = is_own(KEY, name)
    try:
        with blamed(KEY, name, "(step)") if own else contextlib.nullcontext():
            first = float(schedule(0))
    except UserError:
        raise
    except Exception as error:
        raise ConfigError(f"optimizer.schedule_args: {name} with {given} fails: {error}") from error
    if not 0 <= first < float("inf"):
        raise ConfigError(f"optimizer.schedule={name!r} with {given} starts at {first}")
    return schedule


def _own_function(name: str, steps: int, settings: Mapping[str, object]) -> OwnSchedule:
    schedule = OwnSchedule(name, max(1, steps), settings)
    if not steps:  # not known yet, so nothing is known of its rates either
        return schedule
    with blamed(KEY, name, "(step, total_steps)"):
        schedule(tf.constant(0))
    return schedule


class OwnSchedule(tf.keras.optimizers.schedules.LearningRateSchedule):
    """A user's function (step, total_steps, **optimizer.schedule_args) -> the learning rate.

    `step` is a scalar tensor, float32, and counts updates from the end of the warm-up;
    `total_steps` is how many there are.
    """

    def __init__(self, reference: str, total_steps: int, settings: Mapping[str, object]) -> None:
        super().__init__()
        function = load_function(
            reference, KEY, ("step", "total_steps"), settings, "optimizer.schedule_args"
        )
        self._function = converted(function)
        self.reference, self.total_steps, self.settings = reference, total_steps, dict(settings)

    def __call__(self, step: tf.Tensor) -> tf.Tensor:
        """float32, the rate of a step."""
        step = tf.cast(step, tf.float32)
        found = self._function(step, self.total_steps, **self.settings)
        rate = tf.cast(found, tf.float32)
        if rate.shape != ():
            raise ConfigError(
                f"{KEY}={self.reference} returns float32{list(rate.shape)}; it must return one "
                "number, the learning rate"
            )
        return rate

    def get_config(self) -> dict[str, object]:
        """What it is; it is not built again from this, which would run the user's file."""
        return {"reference": self.reference, "total_steps": self.total_steps, **self.settings}


def _class(name: str) -> type:
    base = tf.keras.optimizers.schedules.LearningRateSchedule
    if is_own(KEY, name):
        return load_class(name, KEY, base)
    known = subclasses(tf.keras.optimizers.schedules, base)
    cls = pick(name, known)
    if cls is None:
        near = near_names(name, list(known))
        raise ConfigError(f"optimizer.schedule={name!r} is unknown; similar names: {near}")
    return cls


def schedule_in_words(optimizer: OptimizerConfig, total_steps: int) -> str:
    """Where a schedule starts, how high it rises and where it ends in a run; "" without one."""
    schedule = build_schedule(optimizer, total_steps)
    if not callable(schedule):
        return ""
    updates = total_steps // optimizer.accumulate_steps
    last = max(0, updates - 1)
    steps = {round(last * sample / SAMPLES) for sample in range(SAMPLES + 1)}
    steps.add(min(last, optimizer.warmup_steps))
    first, highest, end = schedule(0), max(float(schedule(step)) for step in steps), schedule(last)
    return (
        f"learning rate by {_name_in_words(optimizer, schedule)}: starts at {float(first):.3g}, at "
        f"most {highest:.3g}, ends at {float(end):.3g} after {updates} {_unit(optimizer)}"
    )


def _name_in_words(optimizer: OptimizerConfig, schedule: Rate) -> str:
    """A schedule's name; with a warm-up, also its length, which is counted from there."""
    if not isinstance(schedule, WarmUp):
        return optimizer.schedule
    after = "a constant rate"
    if callable(schedule.rate):
        settings = schedule.rate.get_config()
        lengths = [f"{name}={settings[name]:g}" for name in LENGTHS if name in settings]
        after = " of ".join([optimizer.schedule, *lengths])
    return f"a warm-up of {schedule.steps} steps, then {after}"


def _rate_at(optimizer: OptimizerConfig, total_steps: int, step: int) -> float:
    """The schedule of a run with that many steps."""
    schedule = build_schedule(optimizer, total_steps)
    assert callable(schedule)
    return float(schedule(step // optimizer.accumulate_steps))


def stretched(optimizer: OptimizerConfig, before: int, now: int, step: int) -> str:
    """How another length of a run changes its schedule; "" if it does not.

    Args:
      optimizer: the section of the configuration.
      before: the run's steps before.
      now: its steps now.
      step: where it resumes.
    """
    if not optimizer.schedule or before == now:
        return ""
    old, new = (_rate_at(optimizer, steps, step) for steps in (before, now))
    if math.isclose(old, new, rel_tol=1e-6):
        return ""
    return (
        f"warning: optimizer.schedule={optimizer.schedule} follows the length of the run, which "
        f"has changed from {before} to {now} steps: the learning rate at step {step} is {new:.3g} "
        f"instead of {old:.3g}. To continue with another schedule, start a new run from this one's "
        "state with --from"
    )
