"""SIGTERM and Ctrl-C while a run trains: save, then leave.

The first signal is noted, and the loop obeys it after the call of the moment: it saves and ends
with 75 (SIGTERM) or 130 (Ctrl-C). Where the call of the moment may outlast any grace period
(tracing, compiling, building a table) the loop has nothing unsaved, says so by `idle`, and the
process ends at once. A second Ctrl-C ends it at once too: what was saved is whole at any moment.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable

EXIT_RESTART = os.EX_TEMPFAIL  # 75: the same command goes on
EXIT_CODES = {signal.SIGTERM: EXIT_RESTART, signal.SIGINT: 128 + signal.SIGINT}


class StopSignals:
    """Takes SIGTERM and SIGINT while it is entered, in the main thread.

    A thread of its own takes them: Python runs its handlers between two of the main thread's
    instructions, and one of those may be minutes of compilation in TensorFlow.

    Attributes:
      received: the first signal, or None.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        """Takes where to put what is said before the process ends at once."""
        self.received: signal.Signals | None = None
        self._idle = False
        self._say = say

    @property
    def idle(self) -> bool:
        """Whether nothing is unsaved, so that a signal may end the process at once; also one that
        came just before this was set.
        """
        return self._idle

    @idle.setter
    def idle(self, value: bool) -> None:
        self._idle = value
        if value and self.received is not None:
            self._end("nothing is unsaved")

    @property
    def exit_code(self) -> int:
        """What to end with after the signal that was received."""
        return EXIT_CODES[self.received or signal.SIGTERM]

    def __enter__(self) -> StopSignals:
        self._read, self._write = os.pipe()
        os.set_blocking(self._write, False)
        # Python writes the number of every signal that has a handler to this pipe, at once.
        self._wakeup = signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
        self._handlers = {number: signal.signal(number, _nothing) for number in EXIT_CODES}
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
            if number[0] in EXIT_CODES:
                self._take(signal.Signals(number[0]))

    def _take(self, number: signal.Signals) -> None:
        impatient = number == self.received == signal.SIGINT
        self.received = self.received or number
        if self.idle or impatient:
            self._end("stopped at once" if impatient else "nothing is unsaved")

    def _end(self, why: str) -> None:
        number = self.received or signal.SIGTERM
        self._say(f"{number.name}: {why}; the same command goes on from the last saved state")
        leave(self.exit_code)


def leave_on_sigterm(
    say: Callable[[str], None], words: str = "nothing is unsaved; the same command goes on"
) -> None:
    """From now on SIGTERM ends the process with 75: for where a run has nothing to save."""

    def handler(number: int, frame: object) -> None:
        del number, frame
        say(f"SIGTERM: {words}")
        leave(EXIT_RESTART)

    signal.signal(signal.SIGTERM, handler)


def leave(code: int) -> None:
    """Ends the process without waiting for threads that may be deep inside TensorFlow."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _nothing(number: int, frame: object) -> None:
    """A handler must be there for Python to write to the wake-up pipe."""
