"""Batch jobs of Slurm."""

from __future__ import annotations

from launch.backends.kinds.kind import Asked, Kind
from preprocess.shell.errors import UsageError


def check(asked: Asked) -> None:
    """Slurm's signal may come up to a minute early (sbatch(1), --signal)."""
    if asked.time_limit and asked.time_limit <= asked.grace + 60:
        raise UsageError(
            f"--time_limit={asked.time_limit}s leaves no time to train: workers receive SIGTERM "
            f"--grace={asked.grace}s and up to a minute before it"
        )


KIND = Kind(
    name="slurm",
    description="batch jobs of Slurm",
    verbs=("train", "search", "preprocess"),
    implementation="launch.backends.slurm:Slurm",
    check=check,
)
