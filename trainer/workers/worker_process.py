"""Running a command as one of several workers: its command line, and how its process ends."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Sequence
from typing import NoReturn

from absl import flags

from preprocess.shell.blame import own_mistake
from preprocess.shell.cli import say
from preprocess.shell.errors import UserError
from preprocess.shell.streams import reader_left
from trainer.workers.signals import leave


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


def work_and_leave(command: str, work: Callable[[], None]) -> NoReturn:
    """Does the work, reports any error and ends the process with its exit code.

    It leaves while the error is held: what the frames of an error hold, such as an open input of
    TensorFlow's, may take a minute to close, which nobody needs by then.
    """
    try:
        work()
    except UserError as error:
        say(f"trainer {command}: {error}")
        leave(error.exit_code)
    except SystemExit as error:
        if isinstance(error.code, str):  # sys.exit("words") of somebody else's code
            say(f"trainer {command}: {error.code}")
            leave(1)
        leave(error.code or 0)
    except Exception as error:
        if isinstance(error, BrokenPipeError) and reader_left(1):
            leave(0)  # nobody reads the result, but the work is done
        from trainer.workers.worker_group import lost_peer  # imports TensorFlow

        if lost := lost_peer(error):
            say(f"trainer {command}: {lost}")
            leave(lost.exit_code)
        if mistake := own_mistake(error):
            say(f"trainer {command}: {mistake}")
            leave(mistake.exit_code)
        traceback.print_exc()
        leave(1)
    leave(0)
