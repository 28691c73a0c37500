"""Reads the logs of workers' attempts and of a follower, also while they are being written."""

from __future__ import annotations

import dataclasses
import os
import re
import time
from collections.abc import Callable, Iterator, Sequence
from io import BufferedReader
from pathlib import Path

from launch.runs.status import FOLLOWER, LogLine, LogQuery
from launch.supervisor.attempts import Attempts
from preprocess.shell.errors import DataError
from preprocess.shell.regular_files import open_regular

POLL_SECONDS = 0.5
CHUNK = 1 << 20  # bytes read at a time; a longer line is cut
_RANK = re.compile(r"[0-9]{1,9}")


def read_logs(
    all_attempts: Sequence[Attempts],
    wanted: LogQuery,
    finished: Callable[[], bool],
) -> Iterator[LogLine]:
    """Lines of the current attempt, or of the one before; follows into later ones.

    Args:
      all_attempts: of the group; or of each worker, if they run separately.
      wanted: which lines.
      finished: whether the run is over.
    """
    if wanted.previous or not wanted.follow:
        at = -2 if wanted.previous else -1
        for attempts in all_attempts:
            numbers = attempts.numbers()
            if len(numbers) >= -at:
                yield from _lines(attempts, numbers[at], wanted, {}, rest=True)
            if not wanted.previous:
                yield from _of_follower(attempts, wanted, {}, rest=True)
        return
    read: dict[Path, int] = {}
    firsts = [max(attempts.next() - 1, 0) for attempts in all_attempts]
    while True:
        # Checked before reading: what was written until then is read once more below.
        over = finished()
        for attempts, first in zip(all_attempts, firsts, strict=True):
            for number in attempts.numbers():
                if number >= first:
                    yield from _lines(attempts, number, wanted, read, rest=over)
            yield from _of_follower(attempts, wanted, read, rest=over)
        if read:
            wanted = dataclasses.replace(wanted, tail=0)  # what comes from here on: all of it
        if over:
            return
        time.sleep(POLL_SECONDS)


def _lines(
    attempts: Attempts, number: int, wanted: LogQuery, read: dict[Path, int], *, rest: bool
) -> Iterator[LogLine]:
    """Lines that were not read yet; `read` has the position in each file. Of a file without one, as
    many as are wanted. A last line without its end is one of them with `rest`, as nothing is read
    later: a worker that is killed leaves one.
    """
    for path in sorted(attempts.attempt(number).glob("rank-*.log")):
        name = path.stem.removeprefix("rank-")
        if _RANK.fullmatch(name) and wanted.has(int(name)):
            yield from _of_file(path, int(name), wanted, read, rest)


def _of_follower(
    attempts: Attempts, wanted: LogQuery, read: dict[Path, int], *, rest: bool
) -> Iterator[LogLine]:
    if wanted.has(FOLLOWER) and os.path.lexists(attempts.follower_log):
        yield from _of_file(attempts.follower_log, FOLLOWER, wanted, read, rest)


def _of_file(
    path: Path, rank: int, wanted: LogQuery, read: dict[Path, int], rest: bool
) -> Iterator[LogLine]:
    try:
        file = open_regular(path, follow=False)
    except OSError as error:
        raise DataError(f"'{path}' cannot be read: {error.strerror}") from None
    with file:
        if wanted.tail and path not in read:
            read[path] = _start_of_last(file, wanted.tail, rest)
        while data := _whole_lines(file, read.get(path, 0), rest):
            read[path] = read.get(path, 0) + len(data)
            for line in data.decode("utf-8", "replace").splitlines():
                yield LogLine(rank, line)


def _start_of_last(file: BufferedReader, lines: int, rest: bool) -> int:
    """Where the last lines of a file begin; it is read backwards, as far as needed."""
    at = file.seek(0, os.SEEK_END)
    missing = lines + 1  # line feeds: theirs, and the one before the first of them
    if rest and at:
        file.seek(at - 1)
        missing -= file.read(1) != b"\n"
    while at:
        size = min(CHUNK, at)
        at -= size
        file.seek(at)
        data = file.read(size)
        found = data.count(b"\n")
        if found >= missing:
            for _ in range(missing):
                size = data.rfind(b"\n", 0, size)
            return at + size + 1
        missing -= found
    return 0


def _whole_lines(file: BufferedReader, start: int, rest: bool) -> bytes:
    """Lines from a position on, at most CHUNK bytes; b"" if none is complete yet."""
    file.seek(start)
    data = file.read(CHUNK)
    end = data.rfind(b"\n") + 1
    return data[:end] if end or (len(data) < CHUNK and not rest) else data
