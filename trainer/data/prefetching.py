"""Computes a function of numbers ahead of time with a few threads, keeping their order."""

from __future__ import annotations

import collections
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


def in_order(
    make: Callable[[int], T], numbers: Iterable[int], *, threads: int, ahead: int
) -> Generator[T, None, None]:
    """make(number) of each number in order; an exception of make is raised when it is due.

    `threads` threads compute them, at most `ahead` in advance. They end with the iterator: when it
    is exhausted, closed or garbage-collected.
    """
    pool = ThreadPoolExecutor(threads, thread_name_prefix="batches")
    waiting: collections.deque[Future[T]] = collections.deque()
    try:
        for number in numbers:
            waiting.append(pool.submit(make, number))
            if len(waiting) > ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
