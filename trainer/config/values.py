"""Values of configuration keys: checked against the table, and read from text."""

from __future__ import annotations

import ast
import math
from collections.abc import Mapping
from typing import Any

import ml_collections

from preprocess.shell.errors import ConfigError
from preprocess.shell.json_text import JsonObject
from preprocess.shell.nearest import nearest
from preprocess.shell.references import is_reference
from trainer.config.key_field import Value
from trainer.config.keys import KEYS

_MOST_SHOWN = 200  # characters of a value in a message
TRUE_WORDS, FALSE_WORDS = ("true", "yes", "1"), ("false", "no", "0")


def coerce(name: str, value: Any) -> Value:
    """The value as the key's type.

    Args:
      name: a key of KEYS.
      value: a Python value, from a configuration file or from JSON: a list stands for a
        tuple, an integer for a number; nothing else is converted.

    Raises:
      ConfigError: wrong type, not among the choices, out of range, NaN or infinite.
    """
    key = KEYS[name]
    kind = type(key.default)
    if isinstance(value, str) and value in key.words:
        return value
    refusal = ConfigError(f"{name}: received {_shown(value)}, takes {key.allowed}")
    if kind is dict:
        return _plain_mapping(value, refusal)
    if kind is tuple and key.item is dict:
        if not isinstance(value, (list, tuple)):
            raise refusal
        return tuple(_plain_mapping(each, refusal) for each in value)
    if kind is tuple:
        if not isinstance(value, (list, tuple)) or any(
            type(each) is not key.item for each in value
        ):
            raise refusal
        return tuple(value)
    if kind is float and type(value) is int and key.within_bounds(value):
        value = float(value)
    if type(value) is not kind:
        raise refusal
    if key.choices and value not in key.choices and not (key.own and is_reference(str(value))):
        raise refusal
    if kind in (int, float) and not key.within_bounds(value):
        raise refusal
    return value


def _shown(value: object) -> str:
    try:
        text = repr(value)
    except ValueError:  # Python writes no integer of more than 4,300 digits
        return "an integer of thousands of digits"
    return text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}..."


def _plain_mapping(value: Any, refusal: ConfigError) -> JsonObject:
    """A free mapping with values that JSON can hold, so that a run can be written down."""
    if isinstance(value, ml_collections.ConfigDict):
        value = value.to_dict()
    if not isinstance(value, Mapping) or not all(type(name) is str for name in value):
        raise refusal

    def plain(each: object) -> bool:
        if isinstance(each, (list, tuple)):
            return all(plain(item) for item in each)
        return (
            each is None
            or type(each) in (bool, int, str)
            or (type(each) is float and math.isfinite(each))
        )

    if not all(plain(each) for each in value.values()):
        raise refusal
    return {name: list(each) if isinstance(each, tuple) else each for name, each in value.items()}


def unknown_key(name: str) -> str:
    """The message for a key that does not exist: similar names, and its section's keys."""
    section, _, leaf = name.rpartition(".")
    leaves: dict[str, list[str]] = {}
    for key in KEYS:
        leaves.setdefault(key.rpartition(".")[2], []).append(key)
    near = list(leaves.get(leaf, []))  # the right name in the wrong section comes first
    near += nearest(name, KEYS, 3, cutoff=0.7)
    for each in nearest(leaf, leaves, 2):
        near += leaves[each]
    known = keys_of(section.partition(".")[0])
    if not near:
        return f"unknown key {name}: {known}"
    return f"unknown key {name}: did you mean {', '.join(list(dict.fromkeys(near))[:3])}? {known}"


def keys_of(section: str) -> str:
    """The keys of a section in one line; of the top level if there is no such section."""
    leaves = [key.split(".", 1)[1] for key in KEYS if key.startswith(f"{section}.")]
    if leaves:
        return f"{section} has {', '.join(leaves)}"
    sections = {key.split(".")[0] + ".*" if "." in key else key: None for key in KEYS}
    return f"keys are {', '.join(sections)}"


def parse(name: str, text: str) -> Any:
    """Text as the key's type; text that cannot be is returned as it is, for `coerce` to refuse."""
    key = KEYS[name]
    kind = type(key.default)
    if kind is str or text in key.words:
        return text
    if kind is bool:
        lowered = text.lower()
        return True if lowered in TRUE_WORDS else False if lowered in FALSE_WORDS else text
    if kind is tuple and key.item is dict:
        return literal(text) if text.strip() else []
    if kind is tuple:
        parts = [part.strip(" '\"") for part in text.strip(" ()[]").split(",")]
        parts = [part for part in parts if part]
        return [_number(part, key.item) for part in parts] if key.item is not str else parts
    if kind is dict:
        return literal(text)
    return _number(text, kind)


def _number(text: str, kind: type) -> Any:
    try:
        return kind(text)
    except ValueError:
        return text


def literal(text: str) -> Any:
    """A Python literal where the text is one, else the text: for names without a known type."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return {"true": True, "false": False}.get(text.lower(), text)
