r"""Prints one line: why a run waits, or which rank failed first and its last message.

    python -m launch why RUN

Ranks that only lost their peer are left out: they failed as a consequence.
"""

from __future__ import annotations

from absl import flags

import launch.namespace
from launch.backends.base import backend_of
from launch.commands.one_run import one_run

flags.adopt_module_key_flags(launch.namespace)


def main(arguments: list[str]) -> None:
    """Looks and tells."""
    record = one_run("why", arguments)

    print(f"{record.name}: {backend_of(record.spec).why(record)}")
