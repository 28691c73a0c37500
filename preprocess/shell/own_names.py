"""Our packages under their names, also in a folder with a `preprocess.py` of the user's.

Python looks into the current folder first for what `-m` starts, and its children again. The
commands `shardline-preprocess`, `-trainer` and `-launch` do not, and what they start does not
either. Modules of the user's (`module:NAME`) are still found in the current folder, last.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, MutableMapping

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def keep_names(path: list[str], environment: MutableMapping[str, str], here: str) -> None:
    """Puts our packages first and the current folder last, here and for children.

    Args:
      path: sys.path, changed in place.
      environment: of this process, inherited by children.
      here: the current folder.
    """
    path[:] = _ordered(path, here)
    given = environment.get("PYTHONPATH", "").split(os.pathsep)
    environment["PYTHONPATH"] = os.pathsep.join(_ordered(given, here))
    environment["PYTHONSAFEPATH"] = "1"  # no current folder first, for whatever `-m` starts


def _ordered(entries: Iterable[str], here: str) -> list[str]:
    packages = [os.path.join(ROOT, name) for name in ("preprocess", "trainer", "launch")]
    between = [entry for entry in entries if entry not in ("", here, ROOT, *packages)]
    return list(dict.fromkeys([ROOT, *between, here]))


def keep_own_names() -> None:
    """keep_names() for this process."""
    keep_names(sys.path, os.environ, os.getcwd())
