"""The name most like another one among very many: a folder may have a million."""

from __future__ import annotations

import bisect
from collections.abc import Sequence

from preprocess.shell.nearest import nearest

_NEIGHBOURS = 20  # compared letter by letter, on each side


def nearest_names(name: str, names: Sequence[str]) -> list[str]:
    """The name most like `name`, or none. Only those that stand near it in the order are looked
    at, so that a miss costs the same in a folder of any size.

    Args:
      name: the one that is not there.
      names: those that are, sorted.
    """
    at = bisect.bisect(names, name)
    return nearest(name, names[max(0, at - _NEIGHBOURS) : at + _NEIGHBOURS])
