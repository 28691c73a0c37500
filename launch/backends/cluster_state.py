"""What a cluster's objects say of a run: its state, its ranks, why it waits or failed. Pure."""

from __future__ import annotations

from launch.backends.base import FAILED, PENDING, RUNNING, SUCCEEDED, SUSPENDED, Rank
from launch.exit_codes import RESTART
from launch.kube import Object
from launch.render.pod import CONTAINER, INDEX_ANNOTATION

JOBS = ("Job", "JobSet")  # what ends; the rest are servers


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
    if run.get("kind") not in (*JOBS, None):  # a server, which is up or not yet
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
        index_of(pod),
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
    return f"rank {index_of(pod)} {how}" + (f": {said[-1]}" if said else "")


def _terminated(pod: Object) -> Object:
    for container in (pod.get("status") or {}).get("containerStatuses") or ():
        if container.get("name") == CONTAINER:
            ended: Object = (container.get("state") or {}).get("terminated") or {}
            return ended
    return {}


def index_of(pod: Object) -> int:
    """Its rank."""
    metadata = pod.get("metadata") or {}
    marks = {**(metadata.get("annotations") or {}), **(metadata.get("labels") or {})}
    return int(marks.get(INDEX_ANNOTATION, 0))
