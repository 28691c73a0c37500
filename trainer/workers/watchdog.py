"""Ends a worker that makes no progress.

A TensorFlow collective waits in C++ for a peer that may never respond, and no exception can
interrupt it. So a thread watches the clock, and ends the process with 76: saved states are always
complete, and all workers resume from the last one. If even that thread cannot run, the kernel ends
the process (`deadline`).
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable

from preprocess.shell.exit_codes import ExitCode
from trainer.workers.deadline import Deadline

# Times the seconds for a step: what happens once an attempt (tracing, compiling, building a picture
# table) or once an epoch (saving, the report) may take longer.
PATIENCE = 5.0
SPARE_SECONDS = 5.0  # between the thread's deadline and the kernel's


class Watchdog:
    """Ends the process if `alive` is not called in time, while its context is entered.

    Args:
      seconds: for one step, or whatever `alive` announces; 0 disables the watchdog.
      on_timeout: called with a message before the process ends; it should write the stacks to a
      log. leave: ends the process with an exit code.
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
        """Something was finished, and `doing` starts.

        Args:
          doing: for the message.
          long: whether it may take PATIENCE times as long as a step.
          within: seconds, for anything else than a step.
        """
        allowed = within or self._seconds * (PATIENCE if long else 1.0)
        # The clock is set first: the thread must never see the new limit with the old start.
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
                    f"no progress for {allowed:g} s while {doing}: a worker may hang or be lost; "
                    "nothing was saved now, the same command resumes from the last saved state"
                )
                self._leave(ExitCode.LOST_PEER)
                return
