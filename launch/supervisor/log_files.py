"""Reads the logs of workers' attempts, also while they are being written."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from io import BufferedReader
from pathlib import Path

from launch.runs.status import LogLine
from launch.supervisor.attempts import Attempts
from preprocess.shell.errors import DataError
from preprocess.shell.regular_files import open_regular

POLL_SECONDS = 0.5
CHUNK = 1 << 20  # bytes read at a time; a longer line is cut
_RANK = re.compile(r"[0-9]{1,9}")


def read_logs(
    all_attempts: Sequence[Attempts],
    ranks: Collection[int] | None,
    follow: bool,
    previous: bool,
    finished: Callable[[], bool],
) -> Iterator[LogLine]:
    """Lines of the current attempt, or of the one before; follows into later ones.

    Args:
      all_attempts: of the group; or of each worker, if they run separately.
      ranks: whose lines; None = everyone's.
      follow: wait for more until `finished()`.
      previous: the attempt before the current one, without following.
      finished: whether the run is over.
    """
    if previous or not follow:
        at = -2 if previous else -1
        for attempts in all_attempts:
            numbers = attempts.numbers()
            if len(numbers) >= -at:
                yield from _lines(attempts, numbers[at], ranks, {})
        return
    read: dict[Path, int] = {}
    firsts = [max(attempts.next() - 1, 0) for attempts in all_attempts]
    while True:
        # Checked before reading: what was written until then is read once more below.
        over = finished()
        for attempts, first in zip(all_attempts, firsts, strict=True):
            for number in attempts.numbers():
                if number >= first:
                    yield from _lines(attempts, number, ranks, read)
        if over:
            return
        time.sleep(POLL_SECONDS)


def _lines(
    attempts: Attempts, number: int, ranks: Collection[int] | None, read: dict[Path, int]
) -> Iterator[LogLine]:
    """Complete lines that were not read yet; `read` has the position in each file."""
    for path in sorted(attempts.attempt(number).glob("rank-*.log")):
        name = path.stem.removeprefix("rank-")
        if not _RANK.fullmatch(name) or (ranks is not None and int(name) not in ranks):
            continue
        try:
            file = open_regular(path, follow=False)
        except OSError as error:
            raise DataError(f"'{path}' cannot be read: {error.strerror}") from None
        with file:
            while data := _whole_lines(file, read.get(path, 0)):
                read[path] = read.get(path, 0) + len(data)
                for line in data.decode("utf-8", "replace").splitlines():
                    yield LogLine(int(name), line)


def _whole_lines(file: BufferedReader, start: int) -> bytes:
    """Lines from a position on, at most CHUNK bytes; b"" if none is complete yet."""
    file.seek(start)
    data = file.read(CHUNK)
    end = data.rfind(b"\n") + 1
    return data[:end] if end or len(data) < CHUNK else data
