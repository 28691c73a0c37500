"""A user's own callbacks: classes with any of the hooks of Keras's that a training has.

Each worker makes its own and calls their hooks. What one remembers is part of a saved state if it
has state_dict() and load_state_dict().
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import NamedTuple

import tensorflow as tf

from preprocess.shell.errors import ConfigError
from preprocess.shell.references import load_reference
from trainer.config.keys import Config
from trainer.config.own_code import blamed, own_name

KEY = "callbacks"
# The hooks, and what each is called with.
HOOKS = {
    "on_train_begin": ("logs",),
    "on_epoch_begin": ("epoch", "logs"),
    "on_train_batch_begin": ("batch", "logs"),
    "on_train_batch_end": ("batch", "logs"),
    "on_test_begin": ("logs",),
    "on_test_end": ("logs",),
    "on_epoch_end": ("epoch", "logs"),
    "on_train_end": ("logs",),
}
BATCH_BEGIN, BATCH_END = "on_train_batch_begin", "on_train_batch_end"
# The older names of the hooks of a batch, which Keras's own call.
OLDER = {BATCH_BEGIN: "on_batch_begin", BATCH_END: "on_batch_end"}
ANOTHER = "one of another worker"


class BatchHooks(NamedTuple):
    """What is called around each call of `steps_per_execution` steps.

    Attributes:
      begins: takes the number of the first step in the epoch, from 0.
      ended: takes the number of the last one, and figures of the epoch so far.
    """

    begins: Callable[[int], None]
    ended: Callable[[int, Mapping[str, float]], None]


class OwnCallbacks:
    """The objects of `callbacks`, to which the start of the training has been reported.

    Attributes:
      stopped_by: the one that set `model.stop_training`, or "".
    """

    def __init__(self, config: Config, model: tf.keras.Model) -> None:
        """Raises ConfigError if one cannot be made or has none of the hooks."""
        self._references = {own_name(KEY, each): each for each in config.callbacks}
        self._made: dict[str, object] = {}
        self.stopped_by = ""
        for name, reference in self._references.items():
            self._made[name] = made = _make(reference, name)
            if callable(take := getattr(made, "set_params", None)):
                with self._blamed(name, "set_params(self, params)"):
                    take(_params(config))
        self.set_model(model)
        self._call("on_train_begin")

    def __bool__(self) -> bool:
        return bool(self._made)

    def set_model(self, model: tf.keras.Model) -> None:
        """Takes the model, of which a later stage has another."""
        self._model = model
        for name, made in self._made.items():
            if callable(take := getattr(made, "set_model", None)):
                with self._blamed(name, "set_model(self, model)"):
                    take(model)

    def notes(self) -> list[str]:
        """A warning for each callback with hooks of Keras's that are not called here."""
        lines = []
        for name, made in self._made.items():
            others = [
                hook
                for hook in dir(tf.keras.callbacks.Callback)
                if hook.startswith("on_") and hook not in (*HOOKS, *OLDER.values())
                if _has(made, hook)
            ]
            if others:
                lines.append(
                    f"warning: {KEY}: {', '.join(others)} of {name} will not be called; the hooks "
                    f"of a training are {', '.join(HOOKS)}"
                )
        return lines

    def batch_hooks(self) -> BatchHooks | None:
        """What to call around a call of steps; None if no callback has hooks for it, so that the
        loss is not waited for.
        """
        if not any(_has(made, hook) for made in self._made.values() for hook in OLDER):
            return None
        return BatchHooks(
            lambda batch: self._call(BATCH_BEGIN, batch),
            lambda batch, figures: self._call(BATCH_END, batch, logs=figures),
        )

    def epoch_begins(self, epoch: int) -> None:
        """Takes the number of an epoch, from 0."""
        self._call("on_epoch_begin", epoch)

    def test_begins(self) -> None:
        """A validation begins."""
        self._call("on_test_begin")

    def test_ended(self, figures: Mapping[str, object]) -> None:
        """Takes the figures of a validation."""
        self._call("on_test_end", logs=numbers(figures))

    def epoch_ended(self, epoch: int, figures: Mapping[str, object]) -> None:
        """Takes an epoch's number, from 0, and its figures."""
        for name in self._made:
            self._call("on_epoch_end", epoch, logs=numbers(figures), only=name)
            if self._model.stop_training and not self.stopped_by:
                self.stopped_by = name

    def train_ended(self) -> None:
        """The training is done, to its last epoch or stopped early."""
        self._call("on_train_end")

    def state(self) -> dict[str, object]:
        """What set_state() takes, plain data."""
        states = {
            name: _state_of(made, self._references[name])
            for name, made in self._made.items()
            if _remembers(made)
        }
        return {"states": states, "stopped_by": self.stopped_by}

    def set_state(self, state: Mapping[str, object]) -> list[str]:
        """Restores a saved state; a warning for each callback that starts from nothing."""
        states, stopped_by = state.get("states"), str(state.get("stopped_by", ""))
        states = states if isinstance(states, Mapping) else {}
        # Without callbacks here there are none on another worker, which stopped the run.
        known = (*self._made, ANOTHER) if self._made else ()
        self.stopped_by = stopped_by if stopped_by in known else ""
        lines = []
        for name, made in self._made.items():
            load = getattr(made, "load_state_dict", None)
            if name in states and callable(load):
                with self._blamed(name, "load_state_dict(self, state)"):
                    load(states[name])
            elif _remembers(made):
                lines.append(
                    f"warning: {KEY}: {name} has no saved state yet: it starts from the beginning"
                )
            elif set(getattr(made, "__dict__", ())) - set(vars(tf.keras.callbacks.Callback())):
                lines.append(
                    f"warning: {KEY}: {name} has no state_dict() and load_state_dict(): what it "
                    "remembers of the steps before is lost"
                )
        return lines

    def _call(
        self, hook: str, *numbers: int, logs: Mapping[str, float] | None = None, only: str = ""
    ) -> None:
        for name, made in self._made.items():
            method = _method(made, hook)
            if method and only in ("", name):
                with self._blamed(name, f"{hook}(self, {', '.join(HOOKS[hook])})"):
                    method(*numbers, dict(logs or {}))

    def _blamed(self, name: str, takes: str = "") -> AbstractContextManager[None]:
        return blamed(KEY, self._references[name], takes)


def try_callbacks(references: Sequence[str]) -> None:
    """Makes each callback; raises ConfigError if one cannot be called or saved."""
    for reference in references:
        made = _make(reference, own_name(KEY, reference))
        for hook, takes in HOOKS.items():
            method = _method(made, hook)
            try:
                if method:
                    inspect.signature(method).bind(*takes)
            except TypeError as error:
                raise ConfigError(
                    f"{KEY}={reference}: {error}; it is called as {hook}(self, {', '.join(takes)})"
                ) from None
            except ValueError:  # of C, without a signature
                pass
        if _remembers(made):
            _state_of(made, reference)


def _make(reference: str, name: str) -> object:
    cls = load_reference(reference, KEY)
    if not isinstance(cls, type):
        raise ConfigError(f"{KEY}={reference} is a {type(cls).__name__}, not a class")
    if not any(_has(cls, hook) for hook in HOOKS):
        raise ConfigError(f"{KEY}={reference} has none of {', '.join(HOOKS)}")
    with blamed(KEY, reference, f"{name}()"):
        made: object = cls()
    return made


def _has(made: object, hook: str) -> bool:
    """Whether a callback, or its class, has a hook of its own, by its older name too."""
    cls = made if isinstance(made, type) else type(made)
    return any(
        getattr(cls, name, None) not in (None, getattr(tf.keras.callbacks.Callback, name, None))
        for name in (hook, OLDER.get(hook, hook))
    )


def _method(made: object, hook: str) -> Callable[..., object] | None:
    """A hook to call: Keras's empty one, too, which calls that of the older name."""
    for name in (hook, OLDER.get(hook, hook)):
        if callable(method := getattr(made, name, None)):
            found: Callable[..., object] = method
            return found
    return None


def _remembers(made: object) -> bool:
    return all(callable(getattr(made, name, None)) for name in ("state_dict", "load_state_dict"))


def _state_of(made: object, reference: str) -> object:
    ask: Callable[[], object] = getattr(made, "state_dict")  # noqa: B009
    with blamed(KEY, reference, "state_dict(self)"):
        state = ask()
    try:
        return json.loads(json.dumps(state))
    except (TypeError, ValueError) as error:
        raise ConfigError(
            f"{KEY}={reference}: JSON cannot hold the result of state_dict() ({error}); return "
            "numbers, texts, and lists and dicts of them"
        ) from None


def numbers(figures: Mapping[str, object]) -> dict[str, float]:
    """The figures that are numbers: what callbacks are given."""
    return {name: value for name, value in figures.items() if isinstance(value, (int, float))}


def _params(config: Config) -> dict[str, object]:
    return {"epochs": config.epochs, "steps": config.steps_per_epoch or None, "verbose": 0}
