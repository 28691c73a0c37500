"""The back end of a name."""

from __future__ import annotations

from launch.backends.base import Backend
from launch.spec import KUBERNETES


def backend(name: str) -> Backend:
    """The back end that a specification names; imports only what that one needs."""
    if name in ("local", "dataflow"):
        from launch.backends.local import Local

        return Local()
    if name in KUBERNETES:
        from launch.backends.cluster import Cluster

        return Cluster()
    from launch.backends.slurm import Slurm

    return Slurm()
