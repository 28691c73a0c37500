"""Reading the logs of a gang's lives, also while they are written."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

from launch.backends.base import LogLine
from launch.lives import Lives

POLL_SECONDS = 0.5


def read_logs(
    lives: Lives,
    ranks: Collection[int] | None,
    follow: bool,
    previous: bool,
    finished: Callable[[], bool],
) -> Iterator[LogLine]:
    """Lines of the present life, or of the one before it; follows into later lives.

    Args:
      lives: of the run.
      ranks: whose lines; None = everyone's.
      follow: wait for more until `finished()`.
      previous: the life before the present one, and no following.
      finished: whether the run is over.
    """
    numbers = lives.numbers()
    if previous:
        if len(numbers) > 1:
            yield from _lines(lives, numbers[-2], ranks, {})
        return
    if not follow:
        if numbers:
            yield from _lines(lives, numbers[-1], ranks, {})
        return
    read: dict[Path, int] = {}
    first = numbers[-1] if numbers else 0
    while True:
        # Asked before reading: what was written until then is read once more below.
        over = finished()
        for number in lives.numbers():
            if number >= first:
                yield from _lines(lives, number, ranks, read)
        if over:
            return
        time.sleep(POLL_SECONDS)


def _lines(
    lives: Lives, number: int, ranks: Collection[int] | None, read: dict[Path, int]
) -> Iterator[LogLine]:
    """Whole lines that were not read yet; `read` holds how far each file was."""
    for path in sorted(lives.life(number).glob("rank-*.log")):
        rank = int(path.stem.removeprefix("rank-"))
        if ranks is not None and rank not in ranks:
            continue
        with open(path, "rb") as file:
            file.seek(read.get(path, 0))
            data = file.read()
        whole = data.rfind(b"\n") + 1
        read[path] = read.get(path, 0) + whole
        for line in data[:whole].decode("utf-8", "replace").splitlines():
            yield LogLine(rank, line)
