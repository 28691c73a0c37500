"""Kubernetes: a run is an Indexed Job or a JobSet that owns everything else.

Submitted suspended, then what depends on it, then set free: no worker starts before its Service
and its policy are there, and one delete removes all.
"""

from __future__ import annotations

import contextlib
import datetime
import json
import threading
from collections.abc import Collection, Iterator
from queue import Queue
from typing import Any

from launch.backends.base import (
    FAILED,
    FINISHED,
    PENDING,
    RUNNING,
    STOPPED,
    SUCCEEDED,
    SUSPENDED,
    LogLine,
    Rank,
    Status,
)
from launch.exit_codes import RESTART
from launch.kube import Api, ClusterError, Conflict, Missing, Object
from launch.lint.rule import check
from launch.lint.rules import RULES
from launch.records import Record
from launch.render.labels import selector
from launch.render.objects import objects
from launch.render.pod import CONTAINER, INDEX_ANNOTATION, WORKER
from launch.render.text import to_yaml
from trainer.errors import UsageError

MANIFESTS = "manifests.yaml"
SPEC_HASH = "shardline/spec"  # annotation: tells a second submit from another run of that name
_RUNS = ("Job", "JobSet")  # what ends; the rest are servers
_OTHERS_OWNER = {"blockOwnerDeletion": True, "controller": False}


class Cluster:
    """Starts and watches runs through the API server."""

    def files(self, record: Record) -> dict[str, str]:
        """The manifests, which keep our rules."""
        found = objects(record.spec)
        findings = check(RULES, found)
        if findings:
            raise AssertionError("\n".join(map(str, findings)))  # a fault of the renderer
        return {MANIFESTS: to_yaml(found)}

    def submit(self, record: Record) -> str:
        """Creates the run suspended, what it owns, and sets it free; safe to do twice.

        A run in a queue stays suspended: Kueue sets it free.
        """
        api = Api(record.spec.namespace)
        first, *others = objects(record.spec)
        mark = _mark(record)
        first["metadata"].setdefault("annotations", {})[SPEC_HASH] = mark
        try:
            owner = api.create(first)
        except Conflict:
            owner = _same(api, first, mark)
        for other in others:
            other["metadata"]["ownerReferences"] = [_owner(owner)]
            with contextlib.suppress(Conflict):
                api.create(other)
        if first["spec"].get("suspend") and not record.spec.queue:
            api.patch(first["kind"], record.name, {"spec": {"suspend": False}})
        return f"{record.spec.backend}:{record.spec.namespace}/{record.name}"

    def status(self, record: Record) -> Status:
        """From the run's conditions and its pods."""
        api = Api(record.spec.namespace)
        try:
            run = api.get(*_owner_of(record))
        except Missing:
            return Status(STOPPED, detail="deleted")
        pods = _pods(api, record)
        state, detail = run_state(run, pods, queued=bool(record.spec.queue))
        progress = run.get("status") or {}
        return Status(
            state=state,
            ranks=tuple(rank_of(pod) for pod in pods),
            restarts=int(progress.get("restarts", progress.get("failed", 0)) or 0),
            started=_seconds(progress.get("startTime")),
            finished=_seconds(progress.get("completionTime")) if state in FINISHED else None,
            detail=detail,
        )

    def logs(
        self, record: Record, ranks: Collection[int] | None, follow: bool, previous: bool
    ) -> Iterator[LogLine]:
        """Lines of the pods; followed, through restarts of them too, until the run is over."""
        api = Api(record.spec.namespace)
        pods = [p for p in _pods(api, record) if ranks is None or _index(p) in ranks]
        if not follow:
            for pod in _previous(api, record, pods) if previous else pods:
                yield from _read(api, pod)
            return
        lines: Queue[LogLine | None] = Queue()
        threading.Thread(target=_follow_all, args=(self, record, ranks, lines), daemon=True).start()
        while (line := lines.get()) is not None:
            yield line

    def stop(self, record: Record) -> None:
        """Deletes the run and all that it owns; its pods get SIGTERM and the grace period."""
        Api(record.spec.namespace).delete(*_owner_of(record))

    def suspend(self, record: Record) -> None:
        """Its pods get SIGTERM and the grace period."""
        self._set_suspended(record, True)

    def resume(self, record: Record) -> None:
        """Sets it free again."""
        self._set_suspended(record, False)

    def why(self, record: Record) -> str:
        """Why it waits, or which rank failed first and what it said last."""
        api = Api(record.spec.namespace)
        try:
            run = api.get(*_owner_of(record))
        except Missing:
            return f"there is no {' '.join(_owner_of(record))} in {record.spec.namespace}"
        pods = [*_pods(api, record, newest=False)]
        return reason(run, pods, _events(api, record), queued=bool(record.spec.queue))

    def _set_suspended(self, record: Record, value: bool) -> None:
        kind, name = _owner_of(record)
        if kind not in _RUNS:
            raise UsageError(f"'{record.name}' is a server: it is started and stopped only")
        try:
            Api(record.spec.namespace).patch(kind, name, {"spec": {"suspend": value}})
        except Missing:
            raise UsageError(f"run '{record.name}' is not in the cluster any more") from None


def run_state(run: Object, pods: list[Object], queued: bool) -> tuple[str, str]:
    """State of a Job or JobSet, and a few words."""
    conditions = {c["type"]: c for c in (run.get("status") or {}).get("conditions") or ()
                  if c.get("status") == "True"}  # fmt: skip
    for name in ("Complete", "Completed", "SuccessCriteriaMet"):
        if name in conditions:
            return SUCCEEDED, ""
    for name in ("Failed", "FailureTarget"):
        if name in conditions:
            return FAILED, str(conditions[name].get("message", ""))
    if run.get("kind") not in (*_RUNS, None):  # a server, which is up or not yet
        wanted = (run.get("spec") or {}).get("replicas", 1)
        ready = (run.get("status") or {}).get("readyReplicas", 0)
        return (RUNNING if ready >= wanted else PENDING), f"{ready} of {wanted} ready"
    if (run.get("spec") or {}).get("suspend"):
        if queued:
            return PENDING, "waits for its queue"
        return SUSPENDED, ""
    if any((pod.get("status") or {}).get("phase") == "Running" for pod in pods):
        return RUNNING, ""
    waiting = [words for pod in pods if (words := pending_reason(pod))]
    return PENDING, waiting[0] if waiting else ""


def rank_of(pod: Object) -> Rank:
    """A pod as a rank."""
    status = pod.get("status") or {}
    phase = status.get("phase", "")
    state = {"Running": RUNNING, "Succeeded": SUCCEEDED, "Failed": FAILED}.get(phase, PENDING)
    ended = _terminated(pod)
    code = ended.get("exitCode")
    words = str(status.get("reason") or ended.get("reason") or "") if state == FAILED else ""
    return Rank(
        _index(pod),
        state,
        code,
        str((pod.get("spec") or {}).get("nodeName", "")),
        words or pending_reason(pod),
    )


def pending_reason(pod: Object) -> str:
    """Why a pod does not run: not scheduled, or its image cannot be had; "" where it does."""
    status = pod.get("status") or {}
    if status.get("phase") != "Pending":
        return ""
    for condition in status.get("conditions") or ():
        if condition.get("type") == "PodScheduled" and condition.get("status") == "False":
            return f"{condition.get('reason', '')}: {condition.get('message', '')}"
    for container in status.get("containerStatuses") or ():
        waiting = (container.get("state") or {}).get("waiting")
        if waiting:
            return f"{waiting.get('reason', '')}: {waiting.get('message', '')}".rstrip(": ")
    return "starting"


def reason(run: Object, pods: list[Object], events: list[Object], queued: bool) -> str:
    """One line: why a run waits, or who failed first; who only lost a peer is left out."""
    state, detail = run_state(run, pods, queued)
    failed = [pod for pod in pods if (pod.get("status") or {}).get("phase") == "Failed"]
    failed.sort(key=lambda pod: str(_terminated(pod).get("finishedAt", "")))
    # Who left with 75 had lost a peer, or was asked to: not the cause.
    culprits = [p for p in failed if _terminated(p).get("exitCode") not in (RESTART, None)]
    gone = [p for p in failed if _terminated(p).get("exitCode") is None]
    if state == FAILED or (culprits and state != SUCCEEDED):
        for pod in (*culprits, *gone):
            return f"{state}: {_failure(pod)}"
        return f"{state}: {detail or 'no pod says why'}"
    if state == PENDING:
        warnings = [e for e in events if e.get("type") == "Warning"]
        words = detail or (warnings[-1].get("message", "") if warnings else "")
        return f"pending: {words or 'no pod was made yet'}"
    if failed:
        return f"{state}: {_failure(failed[0])}"
    return state + (f": {detail}" if detail else "")


def _failure(pod: Object) -> str:
    ended = _terminated(pod)
    status = pod.get("status") or {}
    code = ended.get("exitCode")
    how = f"ended with {code}" if code is not None else str(status.get("reason") or "was lost")
    if ended.get("reason") == "OOMKilled":
        how = "was out of memory (OOMKilled)"
    said = str(ended.get("message") or status.get("message") or "").strip().splitlines()
    return f"rank {_index(pod)} {how}" + (f": {said[-1]}" if said else "")


def _terminated(pod: Object) -> Object:
    for container in (pod.get("status") or {}).get("containerStatuses") or ():
        if container.get("name") == CONTAINER:
            ended: Object = (container.get("state") or {}).get("terminated") or {}
            return ended
    return {}


def _mark(record: Record) -> str:
    import hashlib

    text = json.dumps(record.spec.to_dict(), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _same(api: Api, o: Object, mark: str) -> Object:
    there = api.get(o["kind"], o["metadata"]["name"])
    if (there["metadata"].get("annotations") or {}).get(SPEC_HASH) != mark:
        name = o["metadata"]["name"]
        raise UsageError(
            f"another run '{name}' is in the cluster; `launch stop {name}` removes it, "
            "--name=OTHER starts another"
        )
    return there


def _owner(o: Object) -> Object:
    metadata = o["metadata"]
    return {
        "apiVersion": o["apiVersion"],
        "kind": o["kind"],
        "name": metadata["name"],
        "uid": metadata["uid"],
        **_OTHERS_OWNER,
    }


def _owner_of(record: Record) -> tuple[str, str]:
    """Kind and name of the object that owns all others of a run."""
    first = objects(record.spec)[0]
    return first["kind"], first["metadata"]["name"]


def _index(pod: Object) -> int:
    metadata = pod.get("metadata") or {}
    marks = {**(metadata.get("annotations") or {}), **(metadata.get("labels") or {})}
    return int(marks.get(INDEX_ANNOTATION, 0))


def _made(pod: Object) -> str:
    return str((pod.get("metadata") or {}).get("creationTimestamp", ""))


def _pods(api: Api, record: Record, newest: bool = True) -> list[Object]:
    """Pods of a run by rank; of each rank the newest only, or all, the oldest first."""
    found = sorted(api.find("Pod", selector(record.spec, WORKER)), key=_made)
    if newest:
        found = list({_index(pod): pod for pod in found}.values())
    return sorted(found, key=_index)


def _previous(api: Api, record: Record, present: list[Object]) -> list[Object]:
    """The pods before the present ones, rank by rank."""
    names = {pod["metadata"]["name"] for pod in present}
    ranks = {_index(pod) for pod in present}
    older = [p for p in _pods(api, record, newest=False) if p["metadata"]["name"] not in names]
    return list({_index(pod): pod for pod in older if _index(pod) in ranks}.values())


def _events(api: Api, record: Record) -> list[Object]:
    fields = f"involvedObject.name={record.name}"
    return sorted(api.find("Event", fields=fields), key=lambda e: str(e.get("lastTimestamp")))


def _read(
    api: Api, pod: Object, follow: bool = False, since: list[str] | None = None
) -> Iterator[LogLine]:
    """Lines of a pod; `since` holds the time of the last one, and is moved on."""
    rank, name = _index(pod), pod["metadata"]["name"]
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
    cluster: Cluster,
    record: Record,
    ranks: Collection[int] | None,
    lines: Queue[LogLine | None],
) -> None:
    """Follows every pod of a run in a thread of its own, also those that are made later."""
    import time

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
        over = cluster.status(record).state in FINISHED
        for pod in _pods(api, record):
            name = pod["metadata"]["name"]
            started = (pod.get("status") or {}).get("phase") != "Pending"
            if started and name not in readers and (ranks is None or _index(pod) in ranks):
                readers[name] = threading.Thread(target=follow_one, args=(pod,), daemon=True)
                readers[name].start()
        if over:
            for reader in readers.values():
                reader.join()
            lines.put(None)
            return
        time.sleep(1.0)


def _seconds(text: Any) -> float | None:
    if not text:
        return None
    return datetime.datetime.fromisoformat(str(text)).timestamp()
