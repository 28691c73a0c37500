"""Reading the logs of the lives of workers, also while they are written."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path

from launch.backends.base import LogLine
from launch.lives import Lives

POLL_SECONDS = 0.5


def read_logs(
    all_lives: Sequence[Lives],
    ranks: Collection[int] | None,
    follow: bool,
    previous: bool,
    finished: Callable[[], bool],
) -> Iterator[LogLine]:
    """Lines of the present life, or of the one before it; follows into later lives.

    Args:
      all_lives: of the gang; of each worker, where they run apart.
      ranks: whose lines; None = everyone's.
      follow: wait for more until `finished()`.
      previous: the life before the present one, and no following.
      finished: whether the run is over.
    """
    if previous or not follow:
        at = -2 if previous else -1
        for lives in all_lives:
            numbers = lives.numbers()
            if len(numbers) >= -at:
                yield from _lines(lives, numbers[at], ranks, {})
        return
    read: dict[Path, int] = {}
    firsts = [max(lives.next() - 1, 0) for lives in all_lives]
    while True:
        # Asked before reading: what was written until then is read once more below.
        over = finished()
        for lives, first in zip(all_lives, firsts, strict=True):
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
