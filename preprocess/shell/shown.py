"""A value from a file, as a message repeats it."""

from __future__ import annotations

from typing import Any

_LONGEST_SHOWN = 60  # characters


def shown(value: Any) -> str:
    """`value` as a message repeats it: on one line, and short."""
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) > 10**18:
        return "an enormous number"  # Python refuses to print the longest ones
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # such a number in a list, or too deep a list
        return f"a {type(value).__name__} too long to show"
    return text if len(text) <= _LONGEST_SHOWN else f"{text[: _LONGEST_SHOWN - 1]}…"
