"""Imports Beam without the connectors that a local build has no use for.

Beam imports the clients of clouds and databases that are installed, and does without those that
are not. They are more than half of its import's time, and two fifths of the memory of each worker.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from types import ModuleType

CONNECTORS = (
    *("apache_beam.io.gcp", "apache_beam.internal.gcp", "apitools"),
    *("google.api_core", "google.auth", "google.oauth2"),
    *("pyarrow", "pymongo"),
)


@contextlib.contextmanager
def without_connectors() -> Iterator[None]:
    """Inside, these modules cannot be imported, unless they were before; afterwards they can, as
    our own sources and storages may need them. Beam's own sources and sinks stay without them.
    """
    absent: dict[str, ModuleType | None] = {
        name: None for name in CONNECTORS if name not in sys.modules
    }
    sys.modules.update(absent)  # type: ignore[arg-type]  # None: an ImportError (import system)
    try:
        yield
    finally:
        for name in absent:
            if sys.modules.get(name, name) is None:
                del sys.modules[name]
