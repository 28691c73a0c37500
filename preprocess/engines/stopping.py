"""Stopping: a build that receives a signal exits at once, logs it, and leaves no process behind.

Nothing has to be saved: a shard is finished or it is not. So the process exits immediately,
without unwinding through Beam, whose threads would wait for each other; a file being written has no
final name yet and is removed by the next build. The kernel kills worker processes when their parent
exits, however it does: one that kept running would write into a directory that the next build
believes to be its own. A job on a cluster is cancelled first.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType

from preprocess.shell.exit_codes import ON_SIGNAL, ExitCode
from preprocess.shell.file_lock import release_all

_WORKER_THREAD = "run_worker"  # Beam's name of the thread that waits for a worker process
_GRACE_SECONDS = 5.0  # for Beam to notice a lost worker by itself, or to end for another reason
LOST_WORKER = (
    "a worker process died, perhaps because it ran out of memory; finished shards are kept: run "
    "the same command again to resume (--workers=1 takes the least memory)"
)


class Stopped(BaseException):
    """Raised inside `unwinding()` when this process receives a signal that ends it."""

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
        line = f"{command}: stopped by {name}; finished work is kept, the same command resumes"
        _end(line, ON_SIGNAL[signal.Signals(number)])

    # Under nohup, or in the background of a script, what is ignored stays so.
    heard = [number for number in ON_SIGNAL if signal.getsignal(number) is not signal.SIG_IGN]
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
    """While the body runs, a signal to end raises Stopped in the main thread, so that what runs
    elsewhere can be ended.
    """
    global _unwinding
    _unwinding += 1
    try:
        yield
    finally:
        _unwinding -= 1


@contextlib.contextmanager
def end_when_a_worker_is_lost() -> Iterator[None]:
    """Ends this process with 69 when a local worker process ends while the body runs.

    Beam would raise an exception if the worker was at work, and wait forever if it was not yet
    connected.
    """
    before = threading.excepthook
    timers: list[threading.Timer] = []

    def hook(arguments: threading.ExceptHookArgs) -> None:
        if arguments.thread is None or arguments.thread.name != _WORKER_THREAD:
            before(arguments)
            return
        line = f"preprocess build: {LOST_WORKER}"
        timers.append(threading.Timer(_GRACE_SECONDS, _end, (line, ExitCode.UNAVAILABLE)))
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
    # Without flock, no other machine could tell that this process is gone.
    release_all()
    os._exit(code)
