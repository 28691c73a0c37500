"""Which name was probably meant, for messages about a name that does not exist."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def nearest(
    received: object, names: Iterable[str], most: int = 1, cutoff: float = 0.6
) -> list[str]:
    """Up to `most` of the names that are like the one received, whatever its case; best first.

    Args:
      received: what the user wrote; what is not a text is like nothing.
      names: the valid ones.
      most: how many.
      cutoff: least similarity, 0 to 1 (difflib's ratio).
    """
    if not isinstance(received, str):
        return []
    by_lower = {name.lower(): name for name in names}
    near = difflib.get_close_matches(received.lower(), by_lower, n=most, cutoff=cutoff)
    return [by_lower[name] for name in near]


def did_you_mean(received: object, names: Iterable[str]) -> str:
    """` (did you mean 'NAME'?)`, or nothing where no name is like the one received."""
    near = nearest(received, names)
    return f" (did you mean '{near[0]}'?)" if near else ""
