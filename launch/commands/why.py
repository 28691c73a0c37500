r"""Prints one line: why a run waits, or which rank failed first and its last message.

    python -m launch why RUN

Ranks that only lost their peer are left out: they failed as a consequence.
"""

from __future__ import annotations

from absl import flags

import launch.commands.one_run
from launch.backends.base import backend_of
from launch.commands.one_run import one_run

flags.adopt_module_key_flags(launch.commands.one_run)


def main(arguments: list[str]) -> None:
    """Prints the line."""
    record = one_run("why", arguments)

    print(f"{record.name}: {backend_of(record.spec).why(record)}")
