r"""Starts the workers of a suspended run again.

    python -m launch resume RUN [--yes]

They continue from their last saved state. For a run directory that you did not start, it shows what
its record would start, and starts it with --yes.
"""

from __future__ import annotations

from absl import flags

import launch.commands.one_run
from launch.backends.base import backend_of
from launch.commands.one_run import one_run
from preprocess.shell.cli import say

flags.adopt_module_key_flags(launch.commands.one_run)


def main(arguments: list[str]) -> None:
    """Resumes the run."""
    record = one_run("resume", arguments)

    backend_of(record.spec).resume(record)
    say(f"resume: {record.name}")
