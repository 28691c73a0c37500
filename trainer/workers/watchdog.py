"""Ends a worker that gets nowhere.

A collective of TensorFlow's waits in C++ for a peer that may never answer, and no exception
gets it out of there. A thread looks at the clock instead, and ends the process with 76: the last
saved state is complete at any moment, and all workers resume from it. Where even that thread cannot
run, the system ends the process (`deadline`).
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable

from preprocess.shell.exit_codes import ExitCode
from trainer.workers.deadline import Deadline

# Of the seconds for a step: what happens once a life (tracing, compiling, a table of pictures)
# or once an epoch (saving, the report) may take longer.
PATIENCE = 5.0
SPARE_SECONDS = 5.0  # after the thread's time has come, until the system's has


class Watchdog:
    """Ends the process when `alive` was not called in time; while it is entered.

    Args:
      seconds: for one step, or whatever `alive` is called for; 0 = it never bites.
      on_timeout: called before the end, with a message; it should write the stacks to a log.
      leave: ends the process, with its exit code.
    """

    def __init__(
        self,
        seconds: float,
        on_timeout: Callable[[str], None],
        leave: Callable[[int], object] = os._exit,
    ) -> None:
        self._seconds, self._on_timeout, self._leave = seconds, on_timeout, leave
        self._doing, self._since, self._allowed = "starting", time.monotonic(), 0.0
        self._deadline: Deadline | None = None
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def alive(self, doing: str, *, long: bool = False, within: float = 0.0) -> None:
        """Something was finished, and `doing` begins.

        Args:
          doing: for people.
          long: whether it may take PATIENCE times as long as a step.
          within: seconds, where it is something else than a step.
        """
        allowed = within or self._seconds * (PATIENCE if long else 1.0)
        # The clock is set first: the thread never sees the new allowance with the old start.
        self._since = time.monotonic()
        self._doing, self._allowed = doing, allowed
        if self._deadline:
            self._deadline.set(allowed + SPARE_SECONDS)

    def __enter__(self) -> Watchdog:
        if self._seconds:
            self._deadline = Deadline(ExitCode.LOST_PEER)
            self.alive("starting", long=True)
            self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._done.set()
        if self._deadline:
            self._deadline.close()
            self._deadline = None
        if self._thread.is_alive():
            self._thread.join()

    def _watch(self) -> None:
        while not self._done.wait(min(1.0, self._seconds / 4)):
            doing, allowed = self._doing, self._allowed
            if time.monotonic() - self._since > allowed:
                self._on_timeout(
                    f"no progress for {allowed:g} s while {doing}: a worker may hang, or be lost; "
                    "nothing was saved now, the same command resumes from the last saved state"
                )
                self._leave(ExitCode.LOST_PEER)
                return
