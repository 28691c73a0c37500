"""Versions of what decides the bytes of a dataset."""

from __future__ import annotations

import platform
from collections.abc import Iterable
from importlib import metadata

# What decodes, draws and encodes: another version of these may give other bytes.
_DECIDING = ("numpy", "opencv-python-headless", "pillow")
_PACKAGES = ("apache-beam", *_DECIDING)


def library_versions(more: Iterable[str] = ()) -> dict[str, str]:
    """Package name -> version, with Python's own and that of `more` packages."""
    versions = {"python": platform.python_version()}
    for package in (*_PACKAGES, *more):
        versions[package] = metadata.version(package)
    return versions


def deciding_versions(more: Iterable[str] = ()) -> dict[str, str]:
    """The same of those alone that decide the bytes of a picture shard, and of `more`."""
    return {package: metadata.version(package) for package in (*_DECIDING, *more)}
