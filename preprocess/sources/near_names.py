"""Finds the most similar of very many names: a folder may have a million."""

from __future__ import annotations

import bisect
from collections.abc import Sequence

from preprocess.shell.nearest import nearest

_NEIGHBOURS = 20  # names compared letter by letter, on each side


def nearest_names(name: str, names: Sequence[str]) -> list[str]:
    """The name most similar to `name`, or none. Only its neighbours in sorted order are compared,
    so that a miss costs the same in a folder of any size.

    Args:
      name: the missing one.
      names: the existing ones, sorted.
    """
    at = bisect.bisect(names, name)
    return nearest(name, names[max(0, at - _NEIGHBOURS) : at + _NEIGHBOURS])
