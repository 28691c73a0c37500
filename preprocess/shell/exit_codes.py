"""The one table of exit codes: what each means, and what a supervisor does about it.

Errors, commands and every supervisor (local workers, Kubernetes, Slurm, rehearsals) derive from
it. The numbers are those of sysexits.h where it has one for the purpose.
"""

from __future__ import annotations

import enum
import signal


class ExitCode(enum.IntEnum):
    """How a process ended.

    Attributes:
      meaning: one line for people.
      retried: whether a supervisor starts the same command again.
      counted: whether that restart is taken off the budget (`--max_restarts`).
    """

    meaning: str
    retried: bool
    counted: bool

    def __new__(cls, code: int, meaning: str, retried: bool, counted: bool) -> ExitCode:
        """A member is its code, with the rest as attributes."""
        member = int.__new__(cls, code)
        member._value_ = code
        member.meaning, member.retried, member.counted = meaning, retried, counted
        return member

    #              code, meaning, retried, counted
    DONE = (0, "done", False, False)
    FAULT = (1, "a fault of the program: a traceback, or a failed check", True, True)
    USAGE = (64, "bad usage: a flag or an argument", False, False)
    DATA = (65, "bad data: missing, damaged, or bad beyond the budget", False, False)
    UNAVAILABLE = (69, "a service that does not respond", True, True)
    DIVERGED = (70, "training diverged; the state before it is kept", False, False)
    STORAGE = (74, "the disk or the storage: full, unreachable or failing", True, True)
    SAVED = (75, "received SIGTERM, and saved: the same command continues", True, False)
    LOST_PEER = (76, "lost another worker: the same command continues", True, False)
    CONFIG = (
        78,
        "bad configuration: an unknown key, a bad value, an error in your own file",
        False,
        False,
    )
    INTERRUPTED = (130, "received Ctrl-C; a training was saved", True, True)


FINAL: tuple[ExitCode, ...] = tuple(
    code for code in ExitCode if not code.retried and code != ExitCode.DONE
)
"""Trying again would end the same way: 64, 65, 70, 78."""

UNCOUNTED: tuple[ExitCode, ...] = tuple(
    code for code in ExitCode if code.retried and not code.counted
)
"""Not the fault of the process that ended: 75, 76. What is not in the table is counted."""

ON_SIGNAL = {
    signal.SIGTERM: ExitCode.SAVED,
    signal.SIGHUP: ExitCode.SAVED,
    signal.SIGINT: ExitCode.INTERRUPTED,
}
"""The signals that stop a process, and how it then ends."""
