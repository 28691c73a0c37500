"""Kubernetes: a run is an Indexed Job or a JobSet that owns everything else.

Submitted suspended, then what depends on it, then set free: no worker starts before its Service
and its policy are there, and one delete removes all.
"""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import json
from collections.abc import Collection, Iterator
from typing import Any

from launch.backends.base import FINISHED, STOPPED, LogLine, Status
from launch.backends.cluster_logs import followed, pods_of, written
from launch.backends.cluster_state import JOBS, rank_of, reason, run_state
from launch.kube import Api, Conflict, Missing, Object
from launch.lint.rule import check
from launch.lint.rules import RULES
from launch.records import Record
from launch.render.objects import objects
from launch.render.text import to_yaml
from trainer.errors import UsageError

MANIFESTS = "manifests.yaml"
SPEC_HASH = "shardline/spec"  # annotation: tells a second submit from another run of that name
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
        pods = pods_of(api, record)
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
        if follow:
            return followed(record, ranks, lambda: self.status(record).state in FINISHED)
        return written(record, ranks, previous)

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
        pods = [*pods_of(api, record, newest=False)]
        return reason(run, pods, _events(api, record), queued=bool(record.spec.queue))

    def _set_suspended(self, record: Record, value: bool) -> None:
        kind, name = _owner_of(record)
        if kind not in JOBS:
            raise UsageError(f"'{record.name}' is a server: it is started and stopped only")
        try:
            Api(record.spec.namespace).patch(kind, name, {"spec": {"suspend": value}})
        except Missing:
            raise UsageError(f"run '{record.name}' is not in the cluster any more") from None


def _mark(record: Record) -> str:
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


def _events(api: Api, record: Record) -> list[Object]:
    fields = f"involvedObject.name={record.name}"
    return sorted(api.find("Event", fields=fields), key=lambda e: str(e.get("lastTimestamp")))


def _seconds(text: Any) -> float | None:
    if not text:
        return None
    return datetime.datetime.fromisoformat(str(text)).timestamp()
