r"""Ends a run for good.

    python -m launch stop RUN

Its workers get SIGTERM, save, and are not started again.
"""

from __future__ import annotations

from absl import flags

import launch.commands.one_run
from launch.backends.base import backend_of
from launch.commands.one_run import one_run
from preprocess.shell.cli import say

flags.adopt_module_key_flags(launch.commands.one_run)


def main(arguments: list[str]) -> None:
    """Stops the run."""
    record = one_run("stop", arguments)

    backend_of(record.spec).stop(record)
    say(f"stop: {record.name}")
