r"""Starts the workers of a suspended run again.

    python -m launch resume RUN

They go on from what they saved.
"""

from __future__ import annotations

from launch.commands.one_run import one_run
from trainer.cli import say


def main(arguments: list[str]) -> None:
    """Does it."""
    record = one_run("resume", arguments)
    from launch.backends.choose import backend

    backend(record.spec.backend).resume(record)
    say(f"resume: {record.name}")
