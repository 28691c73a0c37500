"""A command's output with its times, as a terminal of some width and height shows it."""

from __future__ import annotations

import codecs
import contextlib
import dataclasses
import fcntl
import os
import pty
import re
import struct
import subprocess
import termios
import time
from collections.abc import Sequence
from pathlib import Path

_ESCAPE = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]")
_READ_BYTES = 1 << 16


@dataclasses.dataclass(frozen=True)
class Recording:
    """What one command printed.

    Attributes:
      command: as a person types it.
      pieces: (seconds since its start, text), in order.
      seconds: how long it ran.
    """

    command: str
    pieces: tuple[tuple[float, str], ...]
    seconds: float


def record(
    command: str, arguments: Sequence[str], folder: Path, size: tuple[int, int]
) -> Recording:
    """Runs a program on a pseudo-terminal of (columns, rows); it has to succeed."""
    columns, rows = size
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    start = time.monotonic()
    process = subprocess.Popen(
        arguments,
        cwd=folder,
        env={**os.environ, "COLUMNS": str(columns), "TERM": "xterm"},
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    pieces = []
    with contextlib.suppress(OSError):  # the terminal is closed when the program has ended
        while data := os.read(ours, _READ_BYTES):
            pieces.append((time.monotonic() - start, decoder.decode(data)))
    os.close(ours)
    code = process.wait()
    if code:
        text = "".join(text for _, text in pieces)
        raise RuntimeError(f"{command}: exit code {code}\n{text}")
    return Recording(command, tuple(pieces), time.monotonic() - start)


class Screen:
    """The lines that a terminal shows; of its controls carriage return and line feed only."""

    def __init__(self, columns: int) -> None:
        self.lines = [""]
        self._columns = columns
        self._at = 0

    def write(self, text: str) -> None:
        """Shows more text."""
        for character in _ESCAPE.sub("", text):
            if character == "\r":
                self._at = 0
            elif character == "\n":
                self._new_line()
            elif character.isprintable():
                if self._at == self._columns:
                    self._new_line()
                line = self.lines[-1].ljust(self._at)
                self.lines[-1] = line[: self._at] + character + line[self._at + 1 :]
                self._at += 1

    def _new_line(self) -> None:
        self.lines.append("")
        self._at = 0
