"""Who a process is, and children that do not outlive their parent."""

from __future__ import annotations

import ctypes
import functools
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from preprocess.shell.exit_codes import ExitCode

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def machine() -> str:
    """One boot of one machine, and the namespace in which its process ids mean something.

    Containers with the same host name, or restarted ones, differ. "" if it is not known.
    """
    try:
        return f"{_BOOT_ID.read_text(encoding='ascii').strip()} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return ""


def boot_number() -> int:
    """32 bits that the processes of one boot of one machine share, in whatever container they are;
    0 if they are not known.
    """
    try:
        return int(_BOOT_ID.read_text(encoding="ascii").strip().replace("-", "")[:8], 16)
    except (OSError, ValueError):
        return 0


def start_time(pid: int) -> int | None:
    """When a process of this machine was started, in clock ticks since boot.

    With it a process id that was given out again is another process. None if there is no such
    process, only its remains, or no way to know.
    """
    try:
        # The name, in parentheses, may hold anything; behind it the start is field 22 of 52.
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] in ("Z", "X") else int(fields[19])


def process_started() -> float | None:
    """When this process began, in seconds since 1970; None if there is no way to know."""
    ticks = start_time(os.getpid())
    if ticks is None:
        return None
    running = time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
    return time.time() - running


def die_with_parent(parent: int, number: signal.Signals = signal.SIGKILL) -> None:
    """In a child: from now on the kernel sends it a signal when its parent ends, in whatever way.

    Linux only; elsewhere nothing happens.

    Args:
      parent: the process that started this one; where it is gone already, this one exits.
      number: the signal; SIGKILL where someone may continue the same work at once.
    """
    if sys.platform != "linux":
        return
    _libc().prctl(_PR_SET_PDEATHSIG, number, 0, 0, 0)
    if os.getppid() != parent:  # it ended before the line above
        os._exit(ExitCode.SAVED)


def dying_with_parent(number: signal.Signals = signal.SIGKILL) -> Callable[[], None] | None:
    """The same from the parent's side, for Popen's preexec_fn."""
    if sys.platform != "linux":
        return None
    _libc()  # loaded before the fork
    return functools.partial(die_with_parent, os.getpid(), number)


@functools.cache
def _libc() -> Any:
    return ctypes.CDLL(None, use_errno=True)
