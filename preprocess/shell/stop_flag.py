"""Stop signals that are noted, for a loop that ends at its next turn."""

from __future__ import annotations

import signal
from types import FrameType
from typing import Any

from preprocess.shell.exit_codes import ON_SIGNAL


class StopFlag:
    """Notes stop signals while it is entered, in the main thread, instead of ending the process.

    What is ignored, as SIGHUP is under nohup, stays so.

    Attributes:
      received: the first one, or None.
      repeated: whether another one came after it.
    """

    def __init__(self) -> None:
        self.received: signal.Signals | None = None
        self.repeated = False
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> StopFlag:
        for number in ON_SIGNAL:
            if signal.getsignal(number) is not signal.SIG_IGN:
                self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        del frame
        self.repeated = self.received is not None
        self.received = self.received or signal.Signals(number)
