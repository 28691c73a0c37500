"""Submits a run to a cluster: all of it, or nothing.

The run is submitted suspended, then what depends on it, then unsuspended: no worker starts before
its Service and its policy exist, and a single delete removes everything.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from typing import NoReturn

from launch.backends.base import NotSent
from launch.backends.cluster_pods import is_pod_of
from launch.backends.cluster_records import record_annotations, same_specification, whose
from launch.backends.cluster_records import record_of as record_of_object
from launch.backends.cluster_state import JOBS, run_state
from launch.backends.kube import Api, ClusterError, Conflict, Forbidden, Missing, Object
from launch.render.labels import selector
from launch.render.objects import objects
from launch.render.text import title
from launch.runs.records import Record
from launch.runs.status import FINISHED
from preprocess.shell.cli import say
from preprocess.shell.exit_codes import ExitCode

POLL_SECONDS = 0.5
GONE_SECONDS = 60.0  # for deleting the objects of an earlier run; its pods have their grace


def sent(record: Record) -> list[Object]:
    """The objects as they are sent; the owner comes first and does not have its uid yet."""
    first, *others = objects(record.spec)
    marks = first["metadata"].setdefault("annotations", {})
    marks.update(record_annotations(record))
    return [first, *others]


def owned(o: Object, owner: Object) -> Object:
    """An object that is deleted together with its owner.

    Without `blockOwnerDeletion`: if owner references are enforced, that needs the right to change
    the owner's finalizers, which users do not have.
    """
    reference = {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
        "controller": False,
    }
    return {**o, "metadata": {**o["metadata"], "ownerReferences": [reference]}}


def submit(api: Api, record: Record) -> None:
    """Creates the run suspended and what it owns, then unsuspends it; safe to repeat.

    A run in a queue stays suspended until Kueue admits it.

    Raises:
      NotSent: the server rejects something, and nothing is left of the run.
      ClusterError: the server went away in the middle; calling it again completes the run.
    """
    first, *others = sent(record)
    owner, is_new = _first(api, record, first)
    owner = {**owner, "apiVersion": first["apiVersion"], "kind": first["kind"]}
    for other in others:
        try:
            _dependent(api, owned(other, owner), owner)
        except (ClusterError, Missing, NotSent) as error:
            if is_new and not getattr(error, "passing", False):
                api.delete(first["kind"], owner["metadata"]["name"], uid=owner["metadata"]["uid"])
            _refused(api, record, other, error)
    if first["kind"] in JOBS:
        _wait_for_pods_of_before(api, record, owner)
    if first["spec"].get("suspend") and not record.spec.queue:
        api.patch(first["kind"], first["metadata"]["name"], {"spec": {"suspend": False}})


def _first(api: Api, record: Record, first: Object) -> tuple[Object, bool]:
    """The object that owns the rest, and whether it was created just now."""
    kind, name = first["kind"], first["metadata"]["name"]
    for other in JOBS:  # a Job and a JobSet of one name would use the same names for their objects
        if kind in JOBS and other != kind:
            with contextlib.suppress(Missing, Forbidden):
                there = {"kind": other, **api.get(other, name)}
                if not _make_room(api, record, there):
                    _taken(_whose_run(record, there))
    while True:
        try:
            return api.create(first), True
        except Conflict:
            pass
        except (ClusterError, Missing) as error:
            _refused(api, record, first, error)
        try:
            there = {"kind": kind, **api.get(kind, name)}
        except Missing:
            continue
        if _make_room(api, record, there):
            continue
        if not _is_mine(record, there) or not same_specification(record, there):
            _taken(_whose_run(record, there))
        # A submission that was interrupted; from now on it has this record.
        change = {"metadata": {"annotations": record_annotations(record)}}
        return api.patch(kind, name, change), False


def _is_mine(record: Record, there: Object) -> bool:
    before = record_of_object(there)
    return before is None or before.owner in ("", record.owner)


def _whose_run(record: Record, there: Object) -> str:
    if _is_mine(record, there):
        name = there["metadata"]["name"]
        return f"{title(there)} is another run of yours; `launch stop {name}` removes it"
    return f"{title(there)} is {whose(there)}"


def _make_room(api: Api, record: Record, there: Object) -> bool:
    """Whether an earlier run of that name was being deleted, or over and this user's, and is
    gone.
    """
    over = there["kind"] in JOBS and run_state(there, [], queued=False)[0] in FINISHED
    if "deletionTimestamp" not in there["metadata"] and not (over and _is_mine(record, there)):
        return False
    api.delete(there["kind"], there["metadata"]["name"], uid=there["metadata"]["uid"])
    _until_gone(api, there)
    return True


def _dependent(api: Api, o: Object, owner: Object) -> None:
    """Creates an object of the run; replaces one that an earlier run has left."""
    while True:
        try:
            api.create(o)
            return
        except Conflict:
            pass
        try:
            there = api.get(o["kind"], o["metadata"]["name"])
        except Missing:
            continue
        owners = there["metadata"].get("ownerReferences") or ()
        if any(reference.get("uid") == owner["metadata"]["uid"] for reference in owners):
            return
        if not any(_was_owner(reference, owner) for reference in owners):
            _taken(f"{title(there)} exists, and not from an earlier run of that name")
        api.delete(o["kind"], o["metadata"]["name"], uid=there["metadata"]["uid"])
        _until_gone(api, there)


def _was_owner(reference: Object, owner: Object) -> bool:
    """Whether something belonged to an earlier run of the name, which is gone by now."""
    name = (reference.get("kind"), reference.get("name"))
    return bool(name == (owner["kind"], owner["metadata"]["name"]))


def _until_gone(api: Api, o: Object) -> None:
    """Waits until an object that is being deleted is gone, or replaced."""

    def gone() -> bool:
        try:
            found = api.get(o["kind"], o["metadata"]["name"])
        except Missing:
            return True
        return bool(found["metadata"]["uid"] != o["metadata"]["uid"])

    _wait(gone, GONE_SECONDS, f"{title(o)} of the earlier run is still being deleted")


def _wait_for_pods_of_before(api: Api, record: Record, owner: Object) -> None:
    """Waits for old pods: two runs of one name would share host names and the run directory."""
    said = False

    def gone() -> bool:
        nonlocal said
        pods = [
            pod["metadata"]["name"]
            for pod in api.find("Pod", selector(record.spec))
            if pod["metadata"].get("deletionTimestamp") and not is_pod_of(pod, owner)
        ]
        if pods and not said:
            say(f"waiting for pods of the earlier run to end: {', '.join(sorted(pods))}")
            said = True
        return not pods

    _wait(gone, record.spec.grace + GONE_SECONDS, "pods of the earlier run do not end")


def _wait(seen: Callable[[], bool], seconds: float, otherwise: str) -> None:
    end = time.monotonic() + seconds
    while not seen():
        if time.monotonic() > end:
            raise ClusterError(f"{otherwise}; submit again later", passing=True)
        time.sleep(POLL_SECONDS)


def _taken(what: str) -> NoReturn:
    raise NotSent(f"not submitted: the name is in use: {what}; set --name=OTHER",
                  ExitCode.USAGE)  # fmt: skip


def _refused(api: Api, record: Record, o: Object, error: Exception) -> NoReturn:
    """Raises the error for an object that could not be created."""
    if isinstance(error, NotSent) or getattr(error, "passing", False):
        raise error
    reason = missing_reason(api, record, o) if isinstance(error, Missing) else str(error)
    raise NotSent(f"not submitted: {title(o)}: {reason}", ExitCode.UNAVAILABLE) from None


def missing_reason(api: Api, record: Record, o: Object) -> str:
    """Why the server rejects an object, if its kind or its namespace does not exist."""
    if not api.serves(o["kind"]):
        remedies = dict(record.spec.kind.operators)
        what = remedies.get(o["kind"], "its definition")
        return f"the cluster does not have the kind {o['kind']}; install {what}"
    namespace = record.spec.namespace
    return (
        f"there is no namespace '{namespace}'; create it (`kubectl apply -k k8s` creates "
        "shardline), or correct --namespace"
    )
