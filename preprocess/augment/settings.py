"""What a recipe may say: the kinds of value an operation takes, and how strictly they are read.

A kind has `read(value, where)`, which checks what YAML gave and returns it in its one canonical
form or raises ConfigError, and `write(value)`, which turns that form into plain YAML data.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable
from typing import Any, NamedTuple, Protocol, get_type_hints

import numpy as np

from preprocess.shell.errors import ConfigError
from preprocess.shell.nearest import did_you_mean
from preprocess.shell.shown import shown


class Range(NamedTuple):
    """A closed interval that a number is drawn from, uniformly."""

    low: float
    high: float

    def draw(self, rng: np.random.Generator) -> float:
        """A real number of the interval."""
        return float(rng.uniform(self.low, self.high))

    def draw_integer(self, rng: np.random.Generator) -> int:
        """An integer of the interval, both ends included."""
        return int(rng.integers(int(self.low), int(self.high) + 1))


ZERO = Range(0.0, 0.0)
ONE = Range(1.0, 1.0)


class Kind(Protocol):
    """A kind of value."""

    def read(self, value: Any, where: str) -> Any:
        """The canonical form of `value`, or ConfigError, which names `where`."""

    def write(self, value: Any) -> Any:
        """The canonical form as plain YAML data, from which `read` gives the same again."""


@dataclasses.dataclass(frozen=True)
class NumberKind:
    """One number within limits."""

    minimum: float
    maximum: float
    integer: bool = False

    def read(self, value: Any, where: str) -> float:
        """See Kind."""
        wanted = "an integer" if self.integer else "a number"
        # bool is an int in Python, and `yes` is a bool in YAML
        right_type = isinstance(value, int if self.integer else int | float)
        if not right_type or isinstance(value, bool):
            raise ConfigError(f"{where}: received {shown(value)}, needs {wanted}{_hint(value)}")
        if not self.minimum <= value <= self.maximum:  # refuses NaN too
            limits = f"between {self.minimum:g} and {self.maximum:g}"
            raise ConfigError(f"{where}: received {shown(value)}, needs {wanted} {limits}")
        # Adding nothing makes 0.0 of -0.0, which no generator takes for the upper end of a range.
        return int(value) if self.integer else float(value) + 0.0

    def write(self, value: float) -> float:
        """See Kind."""
        return value


@dataclasses.dataclass(frozen=True)
class RangeKind:
    """`[low, high]` within limits; one number stands for a range of that number only."""

    minimum: float
    maximum: float
    integer: bool = False

    def read(self, value: Any, where: str) -> Range:
        """See Kind."""
        ends = value if isinstance(value, list) else [value, value]
        if len(ends) != 2:
            raise ConfigError(f"{where}: received {shown(value)}, needs [low, high] or one number")
        end = NumberKind(self.minimum, self.maximum, self.integer)
        low, high = (end.read(each, where) for each in ends)
        if low > high:
            raise ConfigError(
                f"{where}: received {shown(value)}, whose low end is above its high end;"
                f" write [{high:g}, {low:g}]"
            )
        return Range(low, high)

    def write(self, value: Range) -> list[float]:
        """See Kind."""
        return list(value)


@dataclasses.dataclass(frozen=True)
class ChoiceKind:
    """One of a few words."""

    choices: tuple[str, ...]

    def read(self, value: Any, where: str) -> str:
        """See Kind."""
        if not isinstance(value, str) or value not in self.choices:
            raise ConfigError(unknown(where, "value", value, self.choices))
        return value

    def write(self, value: str) -> str:
        """See Kind."""
        return value


@dataclasses.dataclass(frozen=True)
class ColourKind:
    """`[red, green, blue]`, each 0 to 255; one number stands for that grey."""

    def read(self, value: Any, where: str) -> tuple[int, int, int]:
        """See Kind."""
        parts = value if isinstance(value, list) else [value] * 3
        if len(parts) != 3:
            raise ConfigError(
                f"{where}: received {shown(value)}, needs [red, green, blue] or one number"
            )
        level = NumberKind(0, 255, integer=True)
        red, green, blue = (int(level.read(part, where)) for part in parts)
        return red, green, blue

    def write(self, value: tuple[int, int, int]) -> list[int]:
        """See Kind."""
        return list(value)


def kinds(cls: type) -> dict[str, Kind]:
    """The settings of dataclass `cls`, each annotated `Annotated[type, kind]`, by name."""
    hints = get_type_hints(cls, include_extras=True)
    return {field.name: hints[field.name].__metadata__[0] for field in dataclasses.fields(cls)}


def read_settings(cls: type, values: dict[str, Any], where: str) -> dict[str, Any]:
    """Checks the mapping `values` against the settings of dataclass `cls`.

    Args:
        cls: A dataclass, see `kinds`; a recipe must give the settings that have no default.
        values: What YAML gave.
        where: The place in the recipe, for messages.

    Returns:
        Keyword arguments for `cls`, canonical; settings that were left out are left out.

    Raises:
        ConfigError: An unknown key, a missing one, or a bad value.
    """
    known = kinds(cls)
    for key in values:
        if key not in known:
            raise ConfigError(unknown(where, "key", key, known))
    for field in dataclasses.fields(cls):
        if field.name not in values and field.default is dataclasses.MISSING:
            raise ConfigError(f"{where}: `{field.name}` is missing; add it")
    return {name: known[name].read(value, f"{where}.{name}") for name, value in values.items()}


def unknown(where: str, what: str, received: Any, valid: Iterable[str]) -> str:
    """The message for a word that is none of `valid`: the nearest, and all there are."""
    names = list(valid)
    meant = did_you_mean(received, names)
    return f"{where}: unknown {what} {shown(received)}{meant}; valid: {', '.join(names)}"


def _hint(value: Any) -> str:
    """YAML 1.1 takes `1e-3` for text, which nobody expects."""
    if not isinstance(value, str):
        return ""
    try:
        number = float(value)
    except ValueError:
        return ""
    return f"; write {number!r} without quotes" if math.isfinite(number) else ""
