"""Waiting for a group of processes: when one ends, the others have to end within time limits."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import os
import secrets
import signal
import socket
import subprocess
import time
from collections.abc import Collection

from preprocess.shell.cli import say
from preprocess.shell.exit_codes import FINAL
from preprocess.shell.stop_flag import StopFlag

POLL_SECONDS = 0.05
Processes = Collection[subprocess.Popen[bytes] | subprocess.Popen[str]]


@dataclasses.dataclass(frozen=True)
class Patience:
    """Seconds until processes are killed.

    Attributes:
      leave: for the others, once one has ended: they may be saving, or noticing that a peer is
        gone. inf = they are independent of it.
      final: likewise, if the run cannot continue: they may be failing in the same way.
      stop: for all, once they received SIGTERM.
      deadline: the time (of time.time()) when all receive SIGTERM.
    """

    leave: float
    final: float
    stop: float
    deadline: float = math.inf


def wait_for_all(processes: Processes, stop: StopFlag, patience: Patience) -> dict[int, int]:
    """Waits until all have ended; each is the leader of its own process group.

    Forwards a stop signal, or the deadline, as SIGTERM; a second signal kills at once.

    Returns:
      Exit codes by rank of those that ended by themselves, in the order in which they did.
    """
    codes: dict[int, int] = {}
    until = math.inf  # when the remaining ones are killed
    told = False
    while len(codes) < len(processes):
        for rank, process in enumerate(processes):
            code = process.poll()
            if code is not None and rank not in codes:
                codes[rank] = code
                seconds = min(patience.final, patience.leave) if code in FINAL else patience.leave
                # When one ends, all do; after a 0 too, since rank 0 exits last.
                until = min(until, time.monotonic() + seconds)
        if (stop.received or time.time() > patience.deadline) and not told:
            told = True
            say("stopping the workers")
            signal_groups(processes, signal.SIGTERM)
            until = min(until, time.monotonic() + patience.stop)
        if stop.repeated or time.monotonic() > until:
            break
        time.sleep(POLL_SECONDS)
    signal_groups(processes, signal.SIGKILL)
    for process in processes:
        process.wait()
    return codes


def signal_groups(processes: Processes, number: signal.Signals) -> None:
    """Sends a signal to the process groups that are still running."""
    for process in processes:
        if process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, number)


def end_all(processes: Processes, grace: float) -> None:
    """Ends processes as a cluster does: SIGTERM, `grace` seconds for all of them, SIGKILL."""
    for process in processes:
        process.terminate()
    until = time.monotonic() + grace
    for process in processes:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(max(0.0, until - time.monotonic()))
        process.kill()
        process.wait()


# The variable with a secret that the workers of one start share, so that they only answer each
# other.
START_TOKEN = "SHARDLINE_START_TOKEN"


def new_start() -> dict[str, str]:
    """The environment variables that a start of the group adds for each worker."""
    return {START_TOKEN: secrets.token_hex(16)}


def free_ports(count: int) -> list[int]:
    """Ports of localhost that are free now."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("localhost", 0))
        return [each.getsockname()[1] for each in sockets]
