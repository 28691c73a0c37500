r"""Waits for the end of a run.

    python -m launch wait RUN [--timeout=2h]

Exits with 0 if it succeeded, with 1 if it failed or was stopped, with 75 after the timeout.
"""

from __future__ import annotations

import sys

from absl import flags

import launch.commands.one_run
from launch.commands.one_run import one_run
from launch.spec import duration
from preprocess.shell.cli import say
from preprocess.shell.exit_codes import ExitCode

flags.adopt_module_key_flags(launch.commands.one_run)
_TIMEOUT = flags.DEFINE_string("timeout", "", "Longest wait, such as 30m; by default no limit.")


def main(arguments: list[str]) -> None:
    """Waits."""
    record = one_run("wait", arguments)
    from launch.watch import wait

    seconds = duration("timeout", _TIMEOUT.value) if _TIMEOUT.value else None
    try:
        sys.exit(0 if wait(record, seconds) else 1)
    except TimeoutError as error:
        say(str(error))
        sys.exit(ExitCode.SAVED)
