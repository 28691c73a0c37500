"""Several workers as processes of this machine, restarted together as a cluster would.

    python -m trainer train --local_workers=2 ...

Each worker is the same command with a TF_CONFIG of its own on free ports of localhost. When one
ends with an error, the others cannot go on: they leave by themselves (75) or are ended, and all
are started again, on other ports, from the last saved state. The exit codes decide whether.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import math
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import IO

from trainer.cli import say

# Never retried: bad usage, bad data, divergence, bad configuration.
FINAL_CODES = (os.EX_USAGE, os.EX_DATAERR, os.EX_SOFTWARE, os.EX_CONFIG)
RESTART_CODE = os.EX_TEMPFAIL  # saved after a signal, or lost a peer: not the culprit

PARENT_VARIABLE = "SHARDLINE_GANG"  # tells a worker the process that started it
# For the others, once one has ended: they may be saving, or finding out that a peer is gone.
LEAVE_SECONDS = 60.0
FINAL_SECONDS = 10.0  # likewise, where there is no way on: the same end may come to them too
STOP_SECONDS = 120.0  # for all, after SIGTERM or Ctrl-C
_POLL_SECONDS = 0.1
_PR_SET_PDEATHSIG = 1  # of prctl(2)


def run_gang(command: Sequence[str], workers: int, max_restarts: int) -> int:
    """Runs a command as a gang until it is done.

    Worker 0 has this process's stdout; everything else goes to stderr, with the rank before it.

    Args:
      command: of one worker.
      workers: how many.
      max_restarts: how often all are started again after a fault, a lost worker, or a signal
        that did not come through this process.

    Returns:
      The exit code: of worker 0 when it is done, the one that stops the gang, or 75 and 130 after
      SIGTERM and Ctrl-C.
    """
    with _Signals() as received:
        for restarts in range(max_restarts + 1):
            codes = _life(command, workers, received)
            code = outcome(codes)
            if code in (0, *FINAL_CODES):
                return code
            if received.number is not None:
                return 130 if received.number == signal.SIGINT else RESTART_CODE
            reasons = ", ".join(f"worker {rank}: {_words(c)}" for rank, c in codes.items())
            if restarts < max_restarts:
                say(f"all workers start again ({restarts + 1} of {max_restarts}): {reasons}")
            else:
                say(f"given up after {max_restarts} restarts: {reasons}")
    return code


def outcome(codes: Mapping[int, int]) -> int:
    """What the exit codes of a gang's workers, by rank, come to.

    A code that is never retried wins over all; then worker 0's success, which is the run's; then
    a fault over 75, which the others end with because of it. A signal n counts as 128 + n.

    Args:
      codes: exit codes of the workers that ended by themselves; negative = a signal.
    """
    final = [code for code in codes.values() if code in FINAL_CODES]
    if final:
        return final[0]
    if codes.get(0) == 0:
        return 0
    faults = [code for code in codes.values() if code not in (0, RESTART_CODE)]
    if faults:
        return faults[0] if faults[0] > 0 else 128 - faults[0]
    return RESTART_CODE


def end_with_parent() -> None:
    """In a worker: SIGTERM comes when the gang's process dies, however it does."""
    parent = os.environ.get(PARENT_VARIABLE)
    if parent is None or sys.platform != "linux":
        return
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != int(parent):  # it died before
        os._exit(RESTART_CODE)


def _words(code: int) -> str:
    if code < 0:
        return f"ended by {signal.Signals(-code).name}"
    return f"exit code {code}"


class _Signals:
    """Takes SIGTERM, SIGHUP and SIGINT for the gang; a second one is impatience."""

    def __init__(self) -> None:
        self.number: int | None = None
        self.impatient = False

    def __enter__(self) -> _Signals:
        numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
        self._before = {number: signal.signal(number, self._take) for number in numbers}
        return self

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _take(self, number: int, frame: object) -> None:
        del frame
        self.impatient = self.number is not None
        self.number = self.number or number


def _life(command: Sequence[str], workers: int, received: _Signals) -> dict[int, int]:
    """Starts all workers and waits until all have ended.

    Returns:
      Exit codes by rank, in the order in which they ended, of those that ended by themselves.
    """
    codes: dict[int, int] = {}
    with _started(command, workers) as processes:
        deadline: float | None = None
        stopping = False
        while len(codes) < workers:
            for rank, process in enumerate(processes):
                code = process.poll()
                if code is not None and rank not in codes:
                    codes[rank] = code
                    patience = FINAL_SECONDS if code in FINAL_CODES else LEAVE_SECONDS
                    # The first end is that of all; a 0 too, since worker 0 leaves last.
                    deadline = min(deadline or math.inf, time.monotonic() + patience)
            if received.number is not None and not stopping:
                stopping = True
                say("stopping the workers")
                _signal_all(processes, signal.SIGTERM)
                deadline = min(deadline or math.inf, time.monotonic() + STOP_SECONDS)
            if received.impatient or (deadline is not None and time.monotonic() > deadline):
                break
            time.sleep(_POLL_SECONDS)
    return codes


@contextlib.contextmanager
def _started(command: Sequence[str], workers: int) -> Iterator[list[subprocess.Popen[str]]]:
    """The processes of a gang; none is left at the end, and all they said is out."""
    addresses = [f"localhost:{port}" for port in free_ports(workers)]
    processes: list[subprocess.Popen[str]] = []
    threads: list[threading.Thread] = []
    try:
        for rank in range(workers):
            task = {"type": "worker", "index": rank}
            config = json.dumps({"cluster": {"worker": addresses}, "task": task})
            process = subprocess.Popen(
                command,
                env={**os.environ, "TF_CONFIG": config, PARENT_VARIABLE: str(os.getpid())},
                stdin=subprocess.DEVNULL,
                stdout=None if rank == 0 else subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                errors="replace",
                start_new_session=True,  # Ctrl-C comes to the gang alone, which passes it on
            )
            processes.append(process)
            for pipe in (process.stdout, process.stderr):
                if pipe is not None:
                    threads.append(threading.Thread(target=_prefix, args=(pipe, rank)))
                    threads[-1].start()
        yield processes
    finally:
        for process in processes:
            if process.poll() is None:
                process.kill()
            process.wait()
        for thread in threads:
            thread.join()


def _prefix(pipe: IO[str], rank: int) -> None:
    """Copies a worker's lines to stderr."""
    with pipe:
        for line in pipe:
            sys.stderr.write(f"[{rank}] {line}" if line.endswith("\n") else f"[{rank}] {line}\n")
            sys.stderr.flush()


def _signal_all(processes: Sequence[subprocess.Popen[str]], number: int) -> None:
    for process in processes:
        if process.poll() is None:
            process.send_signal(number)


def free_ports(count: int) -> list[int]:
    """Ports of localhost that nobody listens on now."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("localhost", 0))
        return [each.getsockname()[1] for each in sockets]
