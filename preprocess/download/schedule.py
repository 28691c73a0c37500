"""Many tasks over many hosts: a few at a time of each, and a pause where a server asks for one."""

from __future__ import annotations

import dataclasses
import heapq
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Generic, NamedTuple, TypeVar

from preprocess.download.web_client import FetchError

ATTEMPTS = 3
FIRST_PAUSE_SECONDS = 1.0  # of a host that failed; twice that after each further failure

Work = TypeVar("Work")
Result = TypeVar("Result")


class Task(NamedTuple, Generic[Work]):
    """Something to do at a host, for the n-th time."""

    host: str
    work: Work
    attempt: int = 1


@dataclasses.dataclass
class _Host(Generic[Work]):
    waiting: deque[Task[Work]] = dataclasses.field(default_factory=deque)
    active: int = 0
    paused_until: float = 0.0
    queued: bool = False


class HostQueues(Generic[Work]):
    """What waits at each host; hosts take turns."""

    def __init__(self, per_host: int) -> None:
        self._per_host = per_host
        self._hosts: dict[str, _Host[Work]] = {}
        self._ready: deque[str] = deque()
        self._paused: list[tuple[float, str]] = []

    def add(self, task: Task[Work], pause: float = 0.0) -> None:
        """Lets a task wait; its host is left alone for `pause` seconds."""
        host = self._hosts.setdefault(task.host, _Host())
        host.waiting.append(task)
        if pause:
            host.paused_until = max(host.paused_until, time.monotonic() + pause)
        self._enqueue(task.host)

    def take(self) -> Task[Work] | None:
        """A task that may be done now; None if there is none."""
        now = time.monotonic()
        while self._paused and self._paused[0][0] <= now:
            self._ready.append(heapq.heappop(self._paused)[1])
        while self._ready:
            name = self._ready.popleft()
            host = self._hosts[name]
            if host.paused_until > now:
                heapq.heappush(self._paused, (host.paused_until, name))
                continue
            host.queued = False
            host.active += 1
            task = host.waiting.popleft()
            self._enqueue(name)
            return task
        return None

    def done(self, name: str) -> None:
        """A task of the host has ended."""
        self._hosts[name].active -= 1
        self._enqueue(name)

    def pause(self) -> float | None:
        """Seconds to when a host's pause ends; None if none pauses."""
        return max(self._paused[0][0] - time.monotonic(), 0) if self._paused else None

    def _enqueue(self, name: str) -> None:
        host = self._hosts[name]
        if host.waiting and host.active < self._per_host and not host.queued:
            host.queued = True
            self._ready.append(name)


def run(
    tasks: Iterable[Task[Work]],
    do: Callable[[Work], Result],
    workers: int,
    per_host: int,
    first_pause: float = FIRST_PAUSE_SECONDS,
) -> Iterator[tuple[Work, Result | FetchError]]:
    """Does all tasks, in whatever order, and yields what came of each. A FetchError that is
    passing is tried again, ATTEMPTS times in all; any other error is raised.
    """
    queues: HostQueues[Work] = HostQueues(per_host)
    for task in tasks:
        queues.add(task)
    running: dict[Future[Result], Task[Work]] = {}
    pool = ThreadPoolExecutor(workers, "fetch")
    try:
        while True:
            while len(running) < workers and (next_ := queues.take()) is not None:
                running[pool.submit(do, next_.work)] = next_
            pause = queues.pause()
            if not running:
                if pause is None:
                    return
                time.sleep(pause)
                continue
            for future in wait(running, pause, FIRST_COMPLETED).done:
                task = running.pop(future)
                error = future.exception()
                if isinstance(error, FetchError):
                    if error.passing and task.attempt < ATTEMPTS:
                        wanted = error.pause or first_pause * 2 ** (task.attempt - 1)
                        queues.add(task._replace(attempt=task.attempt + 1), wanted)
                    else:
                        yield task.work, error
                else:
                    yield task.work, future.result()  # raises any other error
                queues.done(task.host)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def by_reason(errors: Iterable[str]) -> dict[str, int]:
    """Reasons with their counts, the most frequent first."""
    return dict(Counter(errors).most_common())
