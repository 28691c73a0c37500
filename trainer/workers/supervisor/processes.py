"""Waiting for a group of processes: the end of one is the end of all, within bounds."""

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
from collections.abc import Sequence

from preprocess.shell.cli import say
from preprocess.shell.exit_codes import FINAL
from preprocess.shell.stop_flag import StopFlag

POLL_SECONDS = 0.05


@dataclasses.dataclass(frozen=True)
class Patience:
    """How long processes are waited for before they are killed, in seconds.

    Attributes:
      leave: the others, once one has ended: they may be saving, or finding out that a peer is
        gone. inf = they are independent of it.
      final: likewise, where the run cannot continue: the same end may come to them too.
      stop: all, once they received SIGTERM.
      deadline: the time (of time.time()) when all receive SIGTERM.
    """

    leave: float
    final: float
    stop: float
    deadline: float = math.inf


def wait_for_all(
    processes: Sequence[subprocess.Popen[bytes] | subprocess.Popen[str]],
    stop: StopFlag,
    patience: Patience,
) -> dict[int, int]:
    """Waits until all have ended; each is the leader of a process group of its own.

    A stop signal, or the deadline, is passed on as SIGTERM; a second signal kills at once.

    Returns:
      Exit codes by rank of those that ended by themselves, in the order in which they ended.
    """
    codes: dict[int, int] = {}
    until = math.inf  # when who still runs is killed
    told = False
    while len(codes) < len(processes):
        for rank, process in enumerate(processes):
            code = process.poll()
            if code is not None and rank not in codes:
                codes[rank] = code
                seconds = min(patience.final, patience.leave) if code in FINAL else patience.leave
                # The first end is that of all; a 0 too, since rank 0 leaves last.
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


def signal_groups(
    processes: Sequence[subprocess.Popen[bytes] | subprocess.Popen[str]], number: signal.Signals
) -> None:
    """Sends a signal to the process groups of those that still run."""
    for process in processes:
        if process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, number)


# The variable with a secret that the workers of one start share, so that only they are answered.
START_TOKEN = "SHARDLINE_START_TOKEN"


def new_start() -> dict[str, str]:
    """What one start of a group adds to the environment of each of its workers."""
    return {START_TOKEN: secrets.token_hex(16)}


def free_ports(count: int) -> list[int]:
    """Ports of localhost that nobody listens on now."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("localhost", 0))
        return [each.getsockname()[1] for each in sockets]
