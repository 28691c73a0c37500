"""Standard streams that may close: a command does not end because nobody reads its messages.

`| head`, a `tee` that was killed and a terminal that closed leave a stream that raises at every
write. What is said on stderr is for people who happen to look; results, on stdout, are another
matter: whoever writes them learns that they went nowhere.
"""

from __future__ import annotations

import contextlib
import os
import select
import sys
from typing import Any


def keep_talking() -> None:
    """From now on losing stderr is no error, and no file is opened in place of a closed stream.

    Native libraries write to the same descriptors: a file of ours that was given the number of a
    closed one would have their lines in it.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free: this one
    if sys.stdout is None:
        sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    stderr: Any = sys.stderr
    if stderr is None:
        stderr = open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    if not isinstance(stderr, _Forgiving):
        sys.stderr = _Forgiving(stderr)


def reader_left(number: int) -> bool:
    """Whether a descriptor is a pipe, or the like, that no longer has a reader."""
    poll = select.poll()
    poll.register(number, 0)
    return any(events & (select.POLLERR | select.POLLHUP) for _, events in poll.poll(0))


class _Forgiving:
    """A text stream whose writes go nowhere once one has failed."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._lost = False

    def write(self, text: str) -> int:
        """As a text stream's."""
        if not self._lost:
            try:
                self._stream.write(text)
            except (OSError, ValueError):
                self._lose()
        return len(text)

    def flush(self) -> None:
        """As a text stream's."""
        if not self._lost:
            try:
                self._stream.flush()
            except (OSError, ValueError):
                self._lose()

    def writelines(self, lines: Any) -> None:
        """As a text stream's."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def _lose(self) -> None:
        self._lost = True
        with contextlib.suppress(OSError, ValueError, AttributeError):
            number = self._stream.fileno()
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, number)  # what native libraries write, and what is left in the buffer
            os.close(null)
