"""Running a command as one of several workers: its command line, and how its process ends."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Sequence

from absl import flags

from preprocess.shell.cli import say
from preprocess.shell.errors import UserError


def worker_command(command: str, module: str, left_out: Sequence[str]) -> list[str]:
    """The command line of one worker: `python -m trainer COMMAND` with all flags of this process.

    Args:
      command: its name.
      module: the module that defines its flags.
      left_out: names of flags that are for the group.
    """
    words = [sys.executable, "-m", "trainer", command]
    for flag in flags.FLAGS.get_key_flags_for_module(module):
        values = flag.value if isinstance(flag.value, list) else [flag.value]
        if flag.name not in left_out:
            words += [f"--{flag.name}={value}" for value in values]
    return words


def exit_code(command: str, work: Callable[[], None]) -> int:
    """Does the work; returns the exit code, after reporting any error."""
    try:
        work()
    except UserError as error:
        say(f"trainer {command}: {error}")
        return error.exit_code
    except SystemExit as error:
        return int(error.code or 0)
    except BrokenPipeError:  # nobody reads the result, but the work is done
        return 0
    except Exception:
        traceback.print_exc()
        return 1
    return 0
