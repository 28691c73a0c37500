"""RUN/logs/worker-N.log: the messages of one worker, with times; every attempt appends to it."""

from __future__ import annotations

import contextlib
import faulthandler
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from preprocess.shell.errors import UsageError, UserError
from preprocess.shell.regular_files import NotRegularFileError, append_regular
from trainer.workers.deadline import STACKS_SIGNAL


class WorkerLog:
    """The log of this process; thread stacks are written to it when a signal kills the process and
    on STACKS_SIGNAL (`kill -USR1`).

    Args:
      folder: RUN/logs.
      rank: of the worker; rank 0 reports for all of them.
      say: receives messages for the terminal.
    """

    def __init__(self, folder: Path, rank: int, say: Callable[[str], None]) -> None:
        self._rank, self._say = rank, say
        self.path = folder / f"worker-{rank}.log"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if folder.is_symlink():
                raise NotRegularFileError(str(folder))
            self._file = append_regular(self.path)
        except OSError as error:
            raise UsageError(f"log '{self.path}' cannot be written: {error.strerror}") from None

    def note(self, message: str) -> None:
        """Writes a line to the log; a run does not end because that fails."""
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        self._write(f"{now} {message}\n")

    def say(self, message: str) -> None:
        """Writes a line to the log, and to the terminal if this worker reports for all."""
        self.note(message)
        if self._rank == 0:
            self._say(message)

    def announce(self, message: str) -> None:
        """Writes a line to the log and to the terminal: for messages about this worker only."""
        self.note(message)
        self._say(message)

    def stacks(self) -> None:
        """Writes the stacks of all threads of this process to the log."""
        frames = sys._current_frames()
        for thread in threading.enumerate():
            if frame := frames.get(thread.ident or 0):
                lines = "".join(traceback.format_stack(frame))
                self._write(f"thread {thread.name}:\n{lines}")

    def _write(self, text: str) -> None:
        # Unbuffered: what a full disk did not take must not come up again when the file is closed.
        with contextlib.suppress(OSError):
            os.write(self._file.fileno(), text.encode("utf-8", "backslashreplace"))

    def __enter__(self) -> WorkerLog:
        self._handles_faults = not faulthandler.is_enabled()
        if self._handles_faults:
            faulthandler.enable(self._file)
        faulthandler.register(STACKS_SIGNAL, self._file)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if isinstance(error, (UserError, SystemExit)):
            self.note(f"ended: {error}")
        elif error is not None:
            self.note("".join(traceback.format_exception(error)).rstrip())
        faulthandler.unregister(STACKS_SIGNAL)
        if self._handles_faults:
            faulthandler.disable()
        self._file.close()
