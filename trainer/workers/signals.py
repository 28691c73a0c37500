"""SIGTERM, SIGHUP and Ctrl-C during a training: save, then exit.

The first signal is recorded, and the loop acts on it after the current call: it saves and exits
with 75 (SIGTERM; SIGHUP, as when a terminal closes, unless it is ignored, as under nohup) or 130
(Ctrl-C). Before calls that may outlast any grace period (tracing, compiling, building a table) the
loop has nothing unsaved and sets `idle`; the process then exits at once. A second Ctrl-C also exits
at once: saved states are always complete.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from typing import NoReturn

from preprocess.shell.exit_codes import ON_SIGNAL, ExitCode

_before_leaving: list[Callable[[], object]] = []


class StopSignals:
    """Handles SIGTERM, SIGHUP and SIGINT inside its context, in the main thread.

    A separate thread reacts to them: Python runs its handlers between two of the main thread's
    instructions, and one of those may be minutes of compilation in TensorFlow.

    Attributes:
      received: the first signal, or None.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        """`say` receives a message before the process exits at once."""
        self.received: signal.Signals | None = None
        self._idle = False
        self._say = say

    @property
    def idle(self) -> bool:
        """Whether nothing is unsaved, so that a signal may end the process at once; this includes a
        signal that came just before it was set.
        """
        return self._idle

    @idle.setter
    def idle(self, value: bool) -> None:
        self._idle = value
        if value and self.received is not None:
            self._end("nothing is unsaved")

    @property
    def exit_code(self) -> int:
        """The exit code for the received signal."""
        return ON_SIGNAL[self.received or signal.SIGTERM]

    def __enter__(self) -> StopSignals:
        self._read, self._write = os.pipe()
        os.set_blocking(self._write, False)
        # Python immediately writes the number of every signal with a handler to this pipe.
        self._wakeup = signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
        self._handlers = {n: signal.signal(n, _nothing) for n in ON_SIGNAL if not _ignored(n)}
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._wakeup)
        os.close(self._write)
        self._thread.join()
        os.close(self._read)

    def _watch(self) -> None:
        while number := os.read(self._read, 1):
            if number[0] in self._handlers:
                self._take(signal.Signals(number[0]))

    def _take(self, number: signal.Signals) -> None:
        impatient = number == self.received == signal.SIGINT
        self.received = self.received or number
        if self.idle or impatient:
            self._end("stopped at once" if impatient else "nothing is unsaved")

    def _end(self, why: str) -> None:
        number = self.received or signal.SIGTERM
        self._say(f"{number.name}: {why}; the same command resumes from the last saved state")
        leave(self.exit_code)


def leave_on_sigterm(
    say: Callable[[str], None], words: str = "nothing is unsaved; the same command resumes"
) -> None:
    """From now on SIGTERM and SIGHUP exit with 75: for phases in which a run has nothing to save.

    SIGHUP stays ignored if it was, as under nohup.
    """

    def handler(number: int, frame: object) -> None:
        del frame
        say(f"{signal.Signals(number).name}: {words}")
        leave(ExitCode.SAVED)

    for number in (signal.SIGTERM, signal.SIGHUP):
        if not _ignored(number):
            signal.signal(number, handler)


@contextlib.contextmanager
def before_leaving(act: Callable[[], object]) -> Iterator[None]:
    """Inside its context, `leave` first calls `act`, to clean up what others would find."""
    _before_leaving.append(act)
    try:
        yield
    finally:
        _before_leaving.remove(act)


def leave(code: int) -> NoReturn:
    """Ends the process without waiting for threads that may be deep inside TensorFlow."""
    for act in _before_leaving:
        act()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):  # the reader closed it
            stream.flush()
    os._exit(code)


def _ignored(number: signal.Signals) -> bool:
    """Whether SIGHUP is to stay ignored. Ctrl-C is always handled: shells ignore it for whatever
    they start in the background.
    """
    return number == signal.SIGHUP and signal.getsignal(number) is signal.SIG_IGN


def _nothing(number: int, frame: object) -> None:
    """Does nothing: Python writes to the wake-up pipe only for signals with a handler."""
