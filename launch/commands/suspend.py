r"""Suspends a run: its workers save and exit; `launch resume` continues it.

    python -m launch suspend RUN

The run keeps its name and its place in the queue.
"""

from __future__ import annotations

from absl import flags

import launch.commands.one_run
from launch.backends.base import backend_of
from launch.commands.one_run import one_run
from preprocess.shell.cli import say

flags.adopt_module_key_flags(launch.commands.one_run)


def main(arguments: list[str]) -> None:
    """Suspends the run."""
    record = one_run("suspend", arguments)

    backend_of(record.spec).suspend(record)
    say(f"suspend: {record.name}")
