"""Log lines of a run's pods by rank, also across restarts."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Collection, Iterator
from queue import Queue

from launch.backends.cluster_pods import pods_of
from launch.backends.cluster_state import index_of
from launch.backends.kube import Api, ClusterError, Missing, Object
from launch.render.pod import CONTAINER
from launch.runs import outage
from launch.runs.records import Record
from launch.runs.status import LogLine
from preprocess.shell.cli import say
from preprocess.shell.errors import UnavailableError

POLL_SECONDS = 1.0


def written(
    api: Api, record: Record, run: Object, ranks: Collection[int] | None, previous: bool
) -> Iterator[LogLine]:
    """The existing lines of the requested ranks; None = all.

    Args:
      api: of the run's namespace.
      record: of the run.
      run: its Job or JobSet.
      ranks: see above.
      previous: of the previous pods instead of the current ones.
    """
    every = pods_of(api, record, run, newest=False)
    pods = [pod for pod in every if ranks is None or index_of(pod) in ranks]
    newest = list({index_of(pod): pod for pod in pods}.values())
    if previous:
        older = [pod for pod in pods if pod not in newest]
        newest = list({index_of(pod): pod for pod in older}.values())
    if not newest:
        what = "of the attempt before the current one" if previous else "of these ranks"
        say(f"{record.name}: there is no pod {what}; a deleted pod has no log")
    for pod in newest:
        try:
            yield from _read(api, pod)
        except (Missing, ClusterError) as error:
            reason = "its pod is gone" if isinstance(error, Missing) else str(error)
            say(f"{record.name}: no log of rank {index_of(pod)}: {reason}")


def followed(
    api: Api,
    record: Record,
    ranks: Collection[int] | None,
    look: Callable[[], tuple[Object, bool]],
) -> Iterator[LogLine]:
    """Lines as they are written, also by pods created later, until the run is over.

    Args:
      api: of the run's namespace.
      record: of the run.
      ranks: whose lines; None = all.
      look: returns the run's Job or JobSet, {} if it was deleted, and whether it is over.
    """
    lines: Queue[LogLine | Exception | None] = Queue()

    def follow() -> None:
        try:
            _follow_all(api, record, ranks, look, lines)
            lines.put(None)
        except Exception as error:  # raised where the lines are read
            lines.put(error)

    threading.Thread(target=follow, daemon=True).start()
    while (line := lines.get()) is not None:
        if isinstance(line, Exception):
            raise line
        yield line


def _read(
    api: Api, pod: Object, follow: bool = False, since: list[str] | None = None
) -> Iterator[LogLine]:
    """Lines of a pod; `since` has the time of the last line, and is updated.

    Raises Missing or ClusterError if they cannot be read.
    """
    rank, name = index_of(pod), pod["metadata"]["name"]
    from_time = since[0] if since else ""
    rest = b""
    pieces = api.log(name, CONTAINER, follow=follow, previous=False, since=from_time)
    for piece in pieces:
        *lines, rest = (rest + piece).split(b"\n")
        for line in lines:
            when, _, text = line.decode("utf-8", "replace").partition(" ")
            # `sinceTime` has a resolution of seconds: some lines come again.
            if since is not None:
                if when <= since[0]:
                    continue
                since[0] = when
            yield LogLine(rank, text)
    if rest and not follow:  # the worker's last message, not yet ended by a line feed
        yield LogLine(rank, rest.decode("utf-8", "replace").partition(" ")[2])


def _follow_all(
    api: Api,
    record: Record,
    ranks: Collection[int] | None,
    look: Callable[[], tuple[Object, bool]],
    lines: Queue[LogLine | Exception | None],
) -> None:
    """Follows every pod in a separate thread, across outages of the API server."""
    readers: dict[str, threading.Thread | None] = {}

    def follow_one(pod: Object) -> None:
        since = [""]
        while True:
            with contextlib.suppress(Missing, ClusterError):  # not started, deleted, or an outage
                for line in _read(api, pod, follow=True, since=since):
                    lines.put(line)
            # The connection ended: the container ended, or the connection was dropped.
            try:
                phase = (api.get("Pod", pod["metadata"]["name"]).get("status") or {}).get("phase")
            except Missing:
                return
            except ClusterError as error:
                if not error.passing:
                    return
                phase = "Running"  # as far as known
            if phase not in ("Pending", "Running"):
                with contextlib.suppress(Missing, ClusterError):
                    for line in _read(api, pod, since=since):  # the last lines
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
            newest = {index_of(pod): pod["metadata"]["name"] for pod in pods}
            older = {pod["metadata"]["name"] for pod in pods} - {*newest.values()}
            readers.update(dict.fromkeys(older))
        for pod in pods:
            name = pod["metadata"]["name"]
            started = (pod.get("status") or {}).get("phase") != "Pending"
            if started and name not in readers and (ranks is None or index_of(pod) in ranks):
                reader = threading.Thread(target=follow_one, args=(pod,), daemon=True)
                readers[name] = reader
                reader.start()
        if over:
            for following in filter(None, readers.values()):
                following.join()
            return
        time.sleep(POLL_SECONDS)
