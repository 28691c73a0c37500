"""Versions of what decides the bytes of a dataset."""

from __future__ import annotations

import platform
from collections.abc import Iterable
from importlib import metadata

_PACKAGES = ("apache-beam", "numpy", "opencv-python-headless", "pillow")


def library_versions(more: Iterable[str] = ()) -> dict[str, str]:
    """Package name -> version, with Python's own and that of `more` packages."""
    versions = {"python": platform.python_version()}
    for package in (*_PACKAGES, *more):
        versions[package] = metadata.version(package)
    return versions
