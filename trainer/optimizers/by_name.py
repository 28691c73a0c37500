"""Looks up Keras classes and their arguments by name, as configurations give them."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from types import ModuleType
from typing import Any

import tensorflow as tf

from preprocess.shell.errors import ConfigError
from preprocess.shell.nearest import nearest
from preprocess.shell.tensorflow_text import error_reason


def subclasses(module: ModuleType, base: type) -> dict[str, type]:
    """The classes of a module below a base, by name."""
    found = vars(module).items()
    return {n: c for n, c in found if isinstance(c, type) and issubclass(c, base) and c is not base}


def pick(name: str, classes: Mapping[str, type]) -> type | None:
    """The class of a name, ignoring case."""
    return {known.lower(): cls for known, cls in classes.items()}.get(name.lower())


def near_names(name: str, known: list[str]) -> str:
    """The known names most similar to one, or all of them, in one line."""
    near = nearest(name, known, 4, cutoff=0.5)
    return ", ".join(near) or ", ".join(sorted(known, key=str.lower))


def parameters(cls: type) -> dict[str, inspect.Parameter]:
    """The arguments of a class, by name."""
    skipped = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
    for each in cls.__mro__:  # a subclass may only pass its arguments on
        declared = inspect.signature(each).parameters
        named = {n: p for n, p in declared.items() if p.kind not in skipped and n != "self"}
        if named:
            return named
    return {}


def construct(cls: type, arguments: dict[str, Any], key: str) -> Any:
    """Call `cls`; turns arguments that it rejects into a ConfigError about `key`."""
    takes = parameters(cls)
    missing = [n for n, p in takes.items() if p.default is p.empty and n not in arguments]
    if missing:
        raise ConfigError(f"{cls.__name__} needs {', '.join(missing)}: set {key}.{missing[0]}")
    try:
        return cls(**arguments)
    except (TypeError, ValueError, RuntimeError, tf.errors.OpError) as error:
        reason = error_reason(error) or type(error).__name__
        raise ConfigError(
            f"{key}: {cls.__name__} rejects {arguments} ({reason}); it takes {', '.join(takes)}"
        ) from error


def as_list(value: object) -> object:
    """Sequences as lists, as in Keras's schedules and configurations."""
    return list(value) if isinstance(value, tuple) else value
