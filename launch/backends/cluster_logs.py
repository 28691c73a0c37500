"""Lines of a run's pods, rank by rank; followed through restarts of them."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Collection, Iterator
from queue import Queue

from launch.backends.base import LogLine
from launch.backends.cluster_state import index_of
from launch.kube import Api, ClusterError, Missing, Object
from launch.records import Record
from launch.render.labels import selector
from launch.render.pod import CONTAINER, WORKER


def pods_of(api: Api, record: Record, newest: bool = True) -> list[Object]:
    """Pods of a run by rank; of each rank the newest only, or all, the oldest first."""
    found = sorted(api.find("Pod", selector(record.spec, WORKER)), key=_made)
    if newest:
        found = list({index_of(pod): pod for pod in found}.values())
    return sorted(found, key=index_of)


def written(record: Record, ranks: Collection[int] | None, previous: bool) -> Iterator[LogLine]:
    """Lines that there are, of the ranks that are asked for; None = all.

    Args:
      record: of the run.
      ranks: see above.
      previous: of the pods before the present ones instead.
    """
    api = Api(record.spec.namespace)
    pods = [pod for pod in pods_of(api, record) if ranks is None or index_of(pod) in ranks]
    for pod in _previous(api, record, pods) if previous else pods:
        yield from _read(api, pod)


def followed(
    record: Record, ranks: Collection[int] | None, is_over: Callable[[], bool]
) -> Iterator[LogLine]:
    """Lines as they come, also of pods that are made later, until the run is over."""
    lines: Queue[LogLine | None] = Queue()
    threading.Thread(target=_follow_all, args=(record, ranks, is_over, lines), daemon=True).start()
    while (line := lines.get()) is not None:
        yield line


def _previous(api: Api, record: Record, present: list[Object]) -> list[Object]:
    """The pods before the present ones, rank by rank."""
    names = {pod["metadata"]["name"] for pod in present}
    ranks = {index_of(pod) for pod in present}
    older = [p for p in pods_of(api, record, newest=False) if p["metadata"]["name"] not in names]
    return list({index_of(pod): pod for pod in older if index_of(pod) in ranks}.values())


def _read(
    api: Api, pod: Object, follow: bool = False, since: list[str] | None = None
) -> Iterator[LogLine]:
    """Lines of a pod; `since` holds the time of the last one, and is moved on."""
    rank, name = index_of(pod), pod["metadata"]["name"]
    from_time = since[0] if since else ""
    rest = b""
    try:
        pieces = api.log(name, CONTAINER, follow=follow, previous=False, since=from_time)
        for piece in pieces:
            *lines, rest = (rest + piece).split(b"\n")
            for line in lines:
                when, _, text = line.decode("utf-8", "replace").partition(" ")
                # `sinceTime` counts in seconds: what was told already comes again.
                if since is not None:
                    if when <= since[0]:
                        continue
                    since[0] = when
                yield LogLine(rank, text)
        if rest and not follow:  # what a worker said last, without ending the line
            yield LogLine(rank, rest.decode("utf-8", "replace").partition(" ")[2])
    except (Missing, ClusterError):
        return  # not started yet, or deleted


def _follow_all(
    record: Record,
    ranks: Collection[int] | None,
    is_over: Callable[[], bool],
    lines: Queue[LogLine | None],
) -> None:
    """Follows every pod in a thread of its own; None is the last of the lines."""
    api = Api(record.spec.namespace)
    readers: dict[str, threading.Thread] = {}

    def follow_one(pod: Object) -> None:
        since = [""]
        while True:
            for line in _read(api, pod, follow=True, since=since):
                lines.put(line)
            # The connection ended: with the container, or dropped on the way.
            with contextlib.suppress(Missing):
                phase = (api.get("Pod", pod["metadata"]["name"]).get("status") or {}).get("phase")
                if phase in ("Pending", "Running"):
                    time.sleep(1.0)
                    continue
                for line in _read(api, pod, since=since):  # what came with its end
                    lines.put(line)
            return

    while True:
        over = is_over()
        for pod in pods_of(api, record):
            name = pod["metadata"]["name"]
            started = (pod.get("status") or {}).get("phase") != "Pending"
            if started and name not in readers and (ranks is None or index_of(pod) in ranks):
                readers[name] = threading.Thread(target=follow_one, args=(pod,), daemon=True)
                readers[name].start()
        if over:
            for reader in readers.values():
                reader.join()
            lines.put(None)
            return
        time.sleep(1.0)


def _made(pod: Object) -> str:
    return str((pod.get("metadata") or {}).get("creationTimestamp", ""))
