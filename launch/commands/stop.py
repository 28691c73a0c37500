r"""Ends a run for good.

    python -m launch stop RUN

Its workers get SIGTERM, save, and are not started again.
"""

from __future__ import annotations

from launch.commands.one_run import one_run
from trainer.cli import say


def main(arguments: list[str]) -> None:
    """Does it."""
    record = one_run("stop", arguments)
    from launch.backends.choose import backend

    backend(record.spec.backend).stop(record)
    say(f"stop: {record.name}")
