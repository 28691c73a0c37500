"""Being stopped: a build that is told to end does so at once, says so, and leaves nobody behind.

Nothing has to be saved for it: a shard is finished or it is not. So the process ends where it
stands, without unwinding through Beam, whose threads would wait for each other; what was being
written has no final name yet and is removed by the next build. Worker processes are killed by
the kernel when the process that started them is gone, in whatever way it went: one that went on
would write into a directory that the next build believes to be its own. A job on a cluster is
ended first.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType

STOPPED = {signal.SIGTERM: os.EX_TEMPFAIL, signal.SIGINT: 130, signal.SIGHUP: os.EX_TEMPFAIL}
"""Exit codes by signal: "restart me", but for Ctrl-C, where a shell expects 128 + 2."""

_PR_SET_PDEATHSIG = 1  # sys/prctl.h
_WORKER_THREAD = "run_worker"  # Beam's name of the thread that waits for a worker process
_GRACE_SECONDS = 5.0  # for Beam to notice a lost worker by itself, or to end for another reason
LOST_WORKER = (
    "a worker process ended on its own, killed for want of memory perhaps; finished shards are "
    "kept and the same command goes on (--workers=1 takes the least memory)"
)


class Stopped(BaseException):
    """Raised inside `unwinding()` where this process is told to end."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


_unwinding = 0  # how many bodies of `unwinding` are running


@contextlib.contextmanager
def ending_at_once_when_told(command: str) -> Iterator[None]:
    """While the body runs, TERM, Ctrl-C and a lost terminal end this process, in milliseconds
    where nothing outside of it has to be ended too.
    """

    def told(number: int, frame: FrameType | None) -> None:
        if _unwinding:
            raise Stopped(number)
        end(number)

    def end(number: int) -> None:
        name = signal.Signals(number).name
        line = f"{command}: stopped by {name}; finished work is kept, the same command goes on"
        _end(line, STOPPED[signal.Signals(number)])

    # Under nohup, or in the background of a script, what is ignored stays so.
    heard = [number for number in STOPPED if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, told) for number in heard}
    try:
        yield
    except Stopped as stopped:
        end(stopped.number)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def unwinding() -> Iterator[None]:
    """While the body runs, being told to end raises Stopped in the main thread, so that what
    runs elsewhere can be ended.
    """
    global _unwinding
    _unwinding += 1
    try:
        yield
    finally:
        _unwinding -= 1


@contextlib.contextmanager
def end_when_a_worker_is_lost() -> Iterator[None]:
    """Ends this process with 75 when a local worker process ends while the body runs.

    Beam would raise an exception if the worker was at work, and wait for ever if it was not yet
    connected.
    """
    before = threading.excepthook
    timers: list[threading.Timer] = []

    def hook(arguments: threading.ExceptHookArgs) -> None:
        if arguments.thread is None or arguments.thread.name != _WORKER_THREAD:
            before(arguments)
            return
        line = f"preprocess build: {LOST_WORKER}"
        timers.append(threading.Timer(_GRACE_SECONDS, _end, (line, os.EX_TEMPFAIL)))
        timers[-1].daemon = True
        timers[-1].start()

    threading.excepthook = hook
    try:
        yield
    finally:
        threading.excepthook = before
        for timer in timers:
            timer.cancel()


def _end(line: str, code: int) -> None:
    with contextlib.suppress(OSError):  # the terminal is gone
        os.write(sys.__stderr__.fileno() if sys.__stderr__ else 2, f"\n{line}\n".encode())
    os._exit(code)


def end_with_parent() -> None:
    """Lets the kernel kill this process when the one that started it ends (Linux; elsewhere Beam's
    worker ends by itself when it notices that its connection is gone).
    """
    parent = os.getppid()
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:  # it ended in between
            os._exit(os.EX_TEMPFAIL)
