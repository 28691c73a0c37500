"""The back end of a name."""

from __future__ import annotations

from launch.backends.base import Backend


def backend(name: str) -> Backend:
    """The back end that a specification names; imports only what that one needs."""
    if name == "local":
        from launch.backends.local import Local

        return Local()
    if name in ("job", "jobset"):
        from launch.backends.cluster import Cluster

        return Cluster()
    if name == "slurm":
        from launch.backends.slurm import Slurm

        return Slurm()
    raise NotImplementedError(name)
