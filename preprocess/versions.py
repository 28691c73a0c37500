"""Versions of what decides the bytes of a dataset."""

from __future__ import annotations

import platform
from importlib import metadata

_PACKAGES = ("apache-beam", "numpy", "opencv-python-headless", "pillow")


def library_versions() -> dict[str, str]:
    """Package name -> version, with Python's own."""
    versions = {"python": platform.python_version()}
    for package in _PACKAGES:
        versions[package] = metadata.version(package)
    return versions
