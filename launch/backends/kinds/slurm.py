"""Batch jobs of Slurm."""

from __future__ import annotations

from launch.backends.kinds.kind import Asked, Kind
from preprocess.shell.errors import UsageError

TO_JUDGE = 60  # seconds from the end of the grace to the time limit


def check(asked: Asked) -> None:
    """Slurm's signal may come up to a minute early (sbatch(1), --signal)."""
    ahead = asked.grace + TO_JUDGE
    seconds = asked.time_limit or asked.deadline
    if seconds <= ahead + 60:
        name = "time_limit" if asked.time_limit else "deadline"
        raise UsageError(
            f"--{name}={seconds}s leaves no time to train: workers receive SIGTERM "
            f"{ahead}s (--grace and {TO_JUDGE}s) and up to a minute before it"
        )


KIND = Kind(
    name="slurm",
    description="batch jobs of Slurm",
    verbs=("train", "search", "preprocess"),
    implementation="launch.backends.slurm:Slurm",
    check=check,
    follows=True,
)
