"""Versions of what decides the bytes of a dataset."""

from __future__ import annotations

import functools
import platform
from collections.abc import Mapping
from importlib import metadata

# What decodes, draws and encodes: another version of these may give other bytes.
_DECIDING = ("numpy", "opencv-python-headless", "pillow")
_PACKAGES = ("apache-beam", *_DECIDING)


def library_versions() -> dict[str, str]:
    """Package name -> version, with Python's own."""
    return {
        "python": platform.python_version(),
        **{package: metadata.version(package) for package in _PACKAGES},
    }


@functools.cache
def deciding_versions() -> Mapping[str, str]:
    """The same of those alone that decide the bytes of a picture shard."""
    return {package: metadata.version(package) for package in _DECIDING}
