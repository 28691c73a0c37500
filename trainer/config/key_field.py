"""What one configuration key is: its default, unit, meaning and the values it may take."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, TypeAlias

PlainValue: TypeAlias = "bool | int | float | str | list[PlainValue] | None"
PlainMapping: TypeAlias = "Mapping[str, PlainValue]"
Value: TypeAlias = (
    "PlainValue | tuple[str, ...] | tuple[int, ...] | tuple[PlainMapping, ...] | PlainMapping"
)

_KINDS = {
    bool: "true or false",
    int: "an integer",
    float: "a number",
    str: "a text",
    dict: "a mapping of names to plain values",
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Key:
    """One key. The type of `default` is the type of the key; bounds are inclusive but `above`.

    `item` is the type of a tuple's items, `below` an exclusive upper bound, `words` are texts that
    a mapping or an integer may be instead. With `own`, FILE.py:NAME or MODULE:NAME is taken beside
    `choices`.
    """

    default: Any
    meaning: str
    choices: tuple[str, ...] = ()
    at_least: float | None = None
    above: float | None = None
    at_most: float | None = None
    below: float | None = None
    item: type = str
    words: tuple[str, ...] = ()
    own: bool = False

    @property
    def allowed(self) -> str:
        """What the key takes, for an error message."""
        if self.choices:
            own = ", or FILE.py:NAME" if self.own else ""
            return "one of " + ", ".join(repr(choice) for choice in self.choices) + own
        if isinstance(self.default, tuple):
            if self.item is dict:
                return "a list of mappings, such as [{'NAME': VALUE, ...}, ...]"
            words = {int: "integers", str: "names"}[self.item]
            return f"a list of {words}, comma-separated on the command line"
        bounds = [
            f"{word} {bound:.15g}"
            for word, bound in (
                ("of at least", self.at_least),
                ("above", self.above),
                ("of at most", self.at_most),
                ("below", self.below),
            )
            if bound is not None
        ]
        kind = ("a finite number" if isinstance(self.default, float) else "") or _KINDS[
            type(self.default)
        ]
        alternatives = [repr(word) for word in self.words]
        return " or ".join([*alternatives, " ".join([kind, " and ".join(bounds)]).strip()])

    def within_bounds(self, value: float) -> bool:
        """Whether a number is finite and inside the key's bounds."""
        # Integers have no end, and no float for each: they are compared as they are.
        return (
            (isinstance(value, int) or math.isfinite(value))
            and (self.at_least is None or value >= self.at_least)
            and (self.above is None or value > self.above)
            and (self.at_most is None or value <= self.at_most)
            and (self.below is None or value < self.below)
        )


def key(**arguments: Any) -> Any:
    """A field of a configuration's section that is a key; takes what Key does."""
    made = Key(**arguments)
    metadata = {"key": made}
    if isinstance(made.default, dict):
        return dataclasses.field(default_factory=lambda: dict(made.default), metadata=metadata)
    return dataclasses.field(default=made.default, metadata=metadata)
