"""Kubernetes: a run is an Indexed Job or a JobSet that owns all its other objects."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from typing import Any

from launch.backends.base import NotSent
from launch.backends.cluster_logs import followed, written
from launch.backends.cluster_pods import children, pods_of, waits_for_queue, workload_of
from launch.backends.cluster_records import handle, is_of, whose
from launch.backends.cluster_state import (
    JOBS,
    counts,
    finished,
    follower_state,
    last_warning,
    rank_of,
    reason,
    run_state,
    started,
)
from launch.backends.cluster_submit import submit
from launch.backends.kube import Api, ClusterError, Missing, Object
from launch.render.objects import objects
from launch.render.text import to_yaml
from launch.runs.ends import keep_end, kept_end
from launch.runs.orders import order, ordered
from launch.runs.records import Record
from launch.runs.status import (
    FAILED,
    FINISHED,
    GONE,
    NOT_SENT,
    PENDING,
    RUNNING,
    STOPPED,
    LogLine,
    LogQuery,
    Status,
)
from preprocess.shell.errors import UsageError
from preprocess.shell.exit_codes import ExitCode

MANIFESTS = "manifests.yaml"


class Cluster:
    """Starts and watches runs through the API server."""

    def files(self, record: Record) -> dict[str, str]:
        """The manifests."""
        return {MANIFESTS: to_yaml(objects(record.spec))}

    def submit(self, record: Record) -> str:
        """Submits the run; a run in a queue is left suspended until Kueue admits it."""
        try:
            api = Api(record.spec.namespace)
        except ClusterError as error:
            raise NotSent(f"not submitted: {error}", ExitCode.UNAVAILABLE) from None
        submit(api, record)
        order(record, RUNNING)
        return handle(record)

    def status(self, record: Record) -> Status:
        """From the run's conditions and its pods; for a deleted run, what was last recorded."""
        api = Api(record.spec.namespace)
        try:
            run = _run(api, record)
        except Missing:
            return _status_of_missing(record)
        if "deletionTimestamp" in run["metadata"]:
            return Status(STOPPED, detail="being deleted")
        pods = pods_of(api, record, run, newest=True)
        state, detail = run_state(run, pods, queued=waits_for_queue(api, record, run))
        nothing = state == PENDING and not pods and not detail
        jobs = children(api, run) if nothing or state == FAILED else []
        if nothing:
            detail = last_warning(_events(api, run, jobs))
        found = Status(
            state=state,
            ranks=tuple(map(rank_of, pods)),
            **counts(run, jobs, pods, record.spec),
            started=_seconds(started(run, pods)),
            finished=_seconds(finished(run)) if state in FINISHED else None,
            detail=detail,
            follower=follower_state(pods) if state == RUNNING else "",
        )
        if state in FINISHED:
            keep_end(record, found)
        return found

    def logs(self, record: Record, wanted: LogQuery) -> Iterator[LogLine]:
        """Lines of the pods; with `follow`, across restarts until the run is over.

        Raises UsageError if the run was deleted, and its pods with it.
        """
        api = Api(record.spec.namespace)
        if not wanted.follow:
            try:
                return written(api, record, _run(api, record), wanted)
            except Missing:
                state = _status_of_missing(record).state
                raise UsageError(
                    f"run '{record.name}' is {state}: its pods are not in the cluster, and neither "
                    "are logs"
                ) from None

        def look() -> tuple[Object, bool]:
            over = self.status(record).state in FINISHED
            try:
                return _run(api, record), over
            except Missing:
                return {}, over

        return followed(api, record, wanted, look)

    def stop(self, record: Record) -> None:
        """Deletes the run and everything it owns; its pods get SIGTERM and the grace period."""
        api = Api(record.spec.namespace)
        try:
            run = _run(api, record)
        except Missing:
            if _status_of_missing(record).state == NOT_SENT:
                raise UsageError(
                    f"run '{record.name}' was never submitted: nothing to stop"
                ) from None
            return
        order(record, STOPPED)
        api.delete(run["kind"], run["metadata"]["name"], uid=run["metadata"]["uid"])

    def suspend(self, record: Record) -> None:
        """Its pods get SIGTERM and the grace period."""
        self._set_suspended(record, True)

    def resume(self, record: Record) -> None:
        """Unsuspends it."""
        self._set_suspended(record, False)

    def why(self, record: Record) -> str:
        """Why it waits, or which rank failed first and its last message."""
        api = Api(record.spec.namespace)
        try:
            run = _run(api, record)
        except Missing:
            found = _status_of_missing(record)
            return found.state + (f": {found.detail}" if found.detail else "")
        jobs = children(api, run)
        pods = pods_of(api, record, run, newest=False)
        queued = waits_for_queue(api, record, run)
        return reason(run, jobs, pods, _events(api, run, jobs), queued)

    def _set_suspended(self, record: Record, value: bool) -> None:
        api = Api(record.spec.namespace)
        try:
            run = _run(api, record)
        except Missing:
            state = _status_of_missing(record).state
            raise UsageError(f"run '{record.name}' is {state}: not in the cluster") from None
        if run["kind"] not in JOBS:
            raise UsageError(f"'{record.name}' is a server: it can only be started and stopped")
        if record.spec.queue and (workload := workload_of(api, run)):
            # Kueue would undo a change of the run itself.
            change = {"spec": {"active": not value}}
            api.patch("Workload", workload["metadata"]["name"], change)
        else:
            api.patch(run["kind"], record.name, {"spec": {"suspend": value}})


def _run(api: Api, record: Record) -> Object:
    """The object that owns all others of a run.

    Raises Missing if it does not exist, UsageError if another run now has its name.
    """
    first = objects(record.spec)[0]
    kind, name = first["kind"], first["metadata"]["name"]
    found = {"kind": kind, **api.get(kind, name)}
    if not is_of(found, record) and record.handle:
        state = _status_of_missing(record).state
        raise UsageError(
            f"run '{name}' is {state}; its name is now used by {whose(found)} "
            f"(`launch list` shows it; `rm -r {record.folder}` removes the old record)"
        )
    if not is_of(found, record):
        raise Missing(name)
    return found


def _status_of_missing(record: Record) -> Status:
    if end := kept_end(record):
        return end
    if not record.handle:
        return Status(NOT_SENT)
    if ordered(record) == STOPPED:
        return Status(STOPPED)
    return Status(GONE, detail="how it ended is unknown")


def _events(api: Api, run: Object, jobs: list[Object]) -> list[Object]:
    """Events of a run and, for a JobSet, of its Jobs; the oldest first."""
    names = dict.fromkeys(
        o["metadata"]["name"] for o in (run, *jobs) if o.get("metadata", {}).get("name")
    )
    found = [e for name in names for e in api.find("Event", fields=f"involvedObject.name={name}")]
    return sorted(found, key=lambda e: str(e.get("lastTimestamp")))


def _seconds(text: Any) -> float | None:
    if not text:
        return None
    return datetime.datetime.fromisoformat(str(text)).timestamp()
