r"""Waits for the end of a run.

    python -m launch wait RUN [--timeout=2h]

Ends with 0 where it succeeded, with 1 where it failed or was stopped, with 75 where it is not
over in time.
"""

from __future__ import annotations

import os
import sys

from absl import flags

from launch.commands.one_run import one_run
from launch.spec import duration
from trainer.cli import say

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
        sys.exit(os.EX_TEMPFAIL)
