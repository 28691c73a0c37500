r"""Ends the workers of a run, which save; `launch resume` goes on.

    python -m launch suspend RUN

The run keeps its place and its name.
"""

from __future__ import annotations

from launch.commands.one_run import one_run
from trainer.cli import say


def main(arguments: list[str]) -> None:
    """Does it."""
    record = one_run("suspend", arguments)
    from launch.backends.choose import backend

    backend(record.spec.backend).suspend(record)
    say(f"suspend: {record.name}")
