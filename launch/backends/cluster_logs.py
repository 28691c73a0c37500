"""Log lines of a run's pods by rank, also across restarts."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from queue import Queue
from typing import NamedTuple

from launch.backends.cluster_pods import pods_of
from launch.backends.cluster_state import index_of
from launch.backends.kube import Api, ClusterError, Missing, Object
from launch.render.follower import FOLLOWED_RANK
from launch.render.pod import CONTAINER, FOLLOWER_CONTAINER
from launch.runs import outage
from launch.runs.records import Record
from launch.runs.status import FOLLOWER, LogLine, LogQuery
from preprocess.shell.cli import say
from preprocess.shell.errors import UnavailableError

POLL_SECONDS = 1.0


def written(api: Api, record: Record, run: Object, wanted: LogQuery) -> Iterator[LogLine]:
    """The lines that there are.

    Args:
      api: of the run's namespace.
      record: of the run.
      run: its Job or JobSet.
      wanted: which of them.
    """
    every = pods_of(api, record, run, newest=False)
    sources = [source for pod in every for source in _sources(record, pod, wanted)]
    newest = list({source.rank: source for source in sources}.values())
    if wanted.previous:
        older = [source for source in sources if source not in newest]
        newest = list({source.rank: source for source in older}.values())
    if not newest:
        what = "of the attempt before the current one" if wanted.previous else "of these ranks"
        say(f"{record.name}: there is no pod {what}; a deleted pod has no log")
    for source in newest:
        try:
            yield from _read(api, source, tail=wanted.tail)
        except (Missing, ClusterError) as error:
            reason = "its pod is gone" if isinstance(error, Missing) else str(error)
            whose = "the follower" if source.rank == FOLLOWER else f"rank {source.rank}"
            say(f"{record.name}: no log of {whose}: {reason}")


def followed(
    api: Api,
    record: Record,
    wanted: LogQuery,
    look: Callable[[], tuple[Object, bool]],
) -> Iterator[LogLine]:
    """Lines as they are written, also by pods created later, until the run is over.

    Args:
      api: of the run's namespace.
      record: of the run.
      wanted: whose lines, and how many of those that there are.
      look: returns the run's Job or JobSet, {} if it was deleted, and whether it is over.
    """
    lines: Queue[LogLine | Exception | None] = Queue()

    def follow() -> None:
        try:
            _follow_all(api, record, wanted, look, lines)
            lines.put(None)
        except Exception as error:  # raised where the lines are read
            lines.put(error)

    threading.Thread(target=follow, daemon=True).start()
    while (line := lines.get()) is not None:
        if isinstance(line, Exception):
            raise line
        yield line


class _Source(NamedTuple):
    """A log: a container of a pod, and what its lines are prefixed with."""

    rank: int
    pod: str
    container: str


def _sources(record: Record, pod: Object, wanted: LogQuery) -> list[_Source]:
    """The logs of a pod that are wanted."""
    rank, name = index_of(pod), pod["metadata"]["name"]
    found = [_Source(rank, name, CONTAINER)] if wanted.has(rank) else []
    if record.spec.follower and rank == FOLLOWED_RANK and wanted.has(FOLLOWER):
        found.append(_Source(FOLLOWER, name, FOLLOWER_CONTAINER))
    return found


def _read(
    api: Api, source: _Source, follow: bool = False, since: list[str] | None = None, tail: int = 0
) -> Iterator[LogLine]:
    """Lines of a container; `since` has the time of the last line, and is updated; see written().

    Raises Missing or ClusterError if they cannot be read.
    """
    from_time = since[0] if since else ""
    rest = b""
    pieces = api.log(source.pod, source.container, follow=follow, since=from_time, tail=tail)
    for piece in pieces:
        *lines, rest = (rest + piece).split(b"\n")
        for line in lines:
            when, _, text = line.decode("utf-8", "replace").partition(" ")
            # `sinceTime` has a resolution of seconds: some lines come again.
            if since is not None:
                if when <= since[0]:
                    continue
                since[0] = when
            yield LogLine(source.rank, text)
    if rest and not follow:  # the worker's last message, not yet ended by a line feed
        yield LogLine(source.rank, rest.decode("utf-8", "replace").partition(" ")[2])


def _follow_all(
    api: Api,
    record: Record,
    wanted: LogQuery,
    look: Callable[[], tuple[Object, bool]],
    lines: Queue[LogLine | Exception | None],
) -> None:
    """Follows every pod in a separate thread, across outages of the API server."""
    readers: dict[_Source, threading.Thread | None] = {}
    tail = wanted.tail

    def follow_one(source: _Source, tail: int) -> None:
        since = [""]
        while True:
            with contextlib.suppress(Missing, ClusterError):  # not started, deleted, or an outage
                for line in _read(api, source, True, since, 0 if since[0] else tail):
                    lines.put(line)
            # The connection ended: the container ended, or the connection was dropped.
            try:
                phase = (api.get("Pod", source.pod).get("status") or {}).get("phase")
            except Missing:
                return
            except ClusterError as error:
                if not error.passing:
                    return
                phase = "Running"  # as far as known
            if phase not in ("Pending", "Running"):
                with contextlib.suppress(Missing, ClusterError):
                    last = 0 if since[0] else tail
                    for line in _read(api, source, since=since, tail=last):  # the last lines
                        lines.put(line)
                return
            time.sleep(POLL_SECONDS)

    while True:
        try:
            run, over = look()
            pods = pods_of(api, record, run, newest=False) if run else []
        except UnavailableError as error:
            outage.wait_out(error)
            time.sleep(POLL_SECONDS)
            continue
        outage.over()
        if not readers:  # attempts that had already ended are not followed
            sources = [source for pod in pods for source in _sources(record, pod, wanted)]
            newest = {source.rank: source for source in sources}
            readers.update(dict.fromkeys({*sources} - {*newest.values()}))
        for pod in pods:
            if (pod.get("status") or {}).get("phase") == "Pending":
                continue
            for source in _sources(record, pod, wanted):
                if source not in readers:
                    reader = threading.Thread(target=follow_one, args=(source, tail), daemon=True)
                    readers[source] = reader
                    reader.start()
        if readers:
            tail = 0  # later attempts are shown from their beginning
        if over:
            for following in filter(None, readers.values()):
                following.join()
            return
        time.sleep(POLL_SECONDS)
