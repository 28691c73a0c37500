"""The table of back ends, read from this folder. The default is this machine, or the first by name
of those that can run a verb.
"""

from __future__ import annotations

from launch.backends.kinds.kind import Kind
from preprocess.shell.entries import Entries

_TABLE = Entries("back end", "launch.backends.kinds", "kind", "registry")
_NAMES = sorted(_TABLE.names(), key=lambda name: (name != "local", name))
KINDS: dict[str, Kind] = {name: _TABLE.module(name).KIND for name in _NAMES}


def running(verb: str) -> list[str]:
    """Names of the back ends that can run a verb."""
    return [name for name, kind in KINDS.items() if verb in kind.verbs]


def help_text() -> str:
    """The text for --help."""
    return "; ".join(f"{name}: {kind.description}" for name, kind in KINDS.items())
