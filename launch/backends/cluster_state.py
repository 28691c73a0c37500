"""Reads a run's state, ranks and reasons from a cluster's objects. Pure functions."""

from __future__ import annotations

import re

from launch.backends.kube import Object
from launch.render.follower import FOLLOWED_RANK
from launch.render.pod import CONTAINER, FOLLOWER_CONTAINER, INDEX_ANNOTATION
from launch.runs.status import (
    FAILED,
    FOLLOWER_RUNS,
    PENDING,
    RUNNING,
    SUCCEEDED,
    SUSPENDED,
    Rank,
    with_follower_state,
)
from launch.spec import Spec
from preprocess.shell.exit_codes import UNCOUNTED

JOBS = ("Job", "JobSet")  # these end; the others are servers
SUCCEEDED_TYPES = ("Complete", "Completed", "SuccessCriteriaMet")
FAILED_TYPES = ("Failed", "FailureTarget")
ENDED = ("Failed", "Succeeded")
DEADLINE = "DeadlineExceeded"
# The earlier pods of an index: those that were counted, and those that were not.
FAILED_BEFORE = "batch.kubernetes.io/job-index-failure-count"
IGNORED_BEFORE = "batch.kubernetes.io/job-index-ignored-failure-count"
# `Container trainer for pod NAMESPACE/NAME failed with exit code 65 matching FailJob rule`
_POD = re.compile(r"\b[Pp]od [^\s/]+/(\S+)")


def run_state(run: Object, pods: list[Object], queued: bool) -> tuple[str, str]:
    """State of a Job or JobSet, and a short detail."""
    conditions = {c["type"]: c for c in (run.get("status") or {}).get("conditions") or ()
                  if c.get("status") == "True"}  # fmt: skip
    for name in SUCCEEDED_TYPES:
        if name in conditions:
            return SUCCEEDED, ""
    for name in FAILED_TYPES:
        if name in conditions:
            return FAILED, str(conditions[name].get("message", ""))
    if run.get("kind") not in (*JOBS, None):  # a server, ready or not yet
        wanted = (run.get("spec") or {}).get("replicas", 1)
        ready = (run.get("status") or {}).get("readyReplicas", 0)
        return (RUNNING if ready >= wanted else PENDING), f"{ready} of {wanted} ready"
    if (run.get("spec") or {}).get("suspend"):
        if queued:
            return PENDING, "waiting in its queue"
        return SUSPENDED, ""
    if any(_phase(pod) == "Running" for pod in pods):
        return RUNNING, ""
    waiting = [words for pod in pods if (words := pending_reason(pod))]
    # Between two attempts: pods have ended, and others replace them.
    if any(_phase(pod) in ENDED for pod in pods) or _started_before(run, pods):
        return RUNNING, waiting[0] if waiting else "between two attempts"
    return PENDING, waiting[0] if waiting else ""


def counts(run: Object, jobs: list[Object], pods: list[Object], spec: Spec) -> dict[str, int]:
    """Restarts, interruptions and failures, as defined by launch.runs.status.Status.

    Args:
      run: the Job or JobSet.
      jobs: a JobSet's Jobs.
      pods: the newest of every rank.
      spec: of the run.
    """
    status = run.get("status") or {}
    over = run_state(run, pods, queued=False)[0] == FAILED
    if run.get("kind") == "JobSet":
        restarts = int(status.get("restartsCountTowardsMax") or 0)
        every = int(status.get("restarts") or 0)
        fatal = int(over and cause(run, jobs)[0] != DEADLINE)
        return {"restarts": restarts, "interruptions": every - restarts,
                "failures": restarts + fatal}  # fmt: skip
    failed = [_mark(pod, FAILED_BEFORE) for pod in pods]
    ignored = [_mark(pod, IGNORED_BEFORE) for pod in pods]
    restarts, now = sum(failed), sum(_counted(pod) for pod in pods)
    if spec.independent:
        interruptions = sum(ignored)
    else:  # however many ranks met the same fault
        every = max((f + i for f, i in zip(failed, ignored, strict=True)), default=0)
        restarts, now = min(restarts, every), min(now, 1)
        # All restart together: the rank that failed was counted once, the others lost their peer.
        interruptions = max(0, every - restarts)
    return {"restarts": restarts, "interruptions": interruptions, "failures": restarts + now}


def started(run: Object, pods: list[Object]) -> str:
    """When it was first started, as far as the cluster still knows; "" before."""
    found = (run.get("status") or {}).get("startTime")
    times = [str(t) for pod in pods if (t := (pod.get("status") or {}).get("startTime"))]
    resumed = [
        str(c.get("lastTransitionTime"))
        for c in (run.get("status") or {}).get("conditions") or ()
        if c.get("type") == "Suspended" and c.get("status") == "False"
    ]
    return str(found or min([*resumed, *times], default=""))


def finished(run: Object) -> str:
    """When it ended, successfully or not; "" before."""
    status = run.get("status") or {}
    ends = [
        str(c.get("lastTransitionTime") or "")
        for c in status.get("conditions") or ()
        if c.get("status") == "True" and c.get("type") in (*SUCCEEDED_TYPES, *FAILED_TYPES)
    ]
    return str(status.get("completionTime") or max(ends, default=""))


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


def follower_state(pods: list[Object]) -> str:
    """`running`, or why it does not run and its last message; "" if there is none."""
    for pod in pods:
        if index_of(pod) != FOLLOWED_RANK:
            continue
        for container in (pod.get("status") or {}).get("initContainerStatuses") or ():
            if container.get("name") == FOLLOWER_CONTAINER:
                state = container.get("state") or {}
                [(kind, details)] = list(state.items())[:1] or [("waiting", {})]
                if kind == "running":
                    return FOLLOWER_RUNS
                before = (container.get("lastState") or {}).get("terminated") or {}
                ended = details if kind == "terminated" else before
                words = [str(details.get("reason") or kind)]
                if "exitCode" in ended:
                    words.append(f"ended with {ended['exitCode']}")
                words += str(ended.get("message", "")).strip().split("\n")[-1:]
                return ": ".join(filter(None, words))
    return ""


def pending_reason(pod: Object) -> str:
    """Why a pod does not run: not scheduled, or its image not available; "" if it runs."""
    status = pod.get("status") or {}
    if status.get("phase") != "Pending":
        return ""
    for condition in status.get("conditions") or ():
        if condition.get("type") == "PodScheduled" and condition.get("status") == "False":
            return f"{condition.get('reason', '')}: {condition.get('message', '')}"
    # A sidecar's image comes first.
    before, after = status.get("initContainerStatuses"), status.get("containerStatuses")
    for container in (*(before or ()), *(after or ())):
        waiting = (container.get("state") or {}).get("waiting")
        if waiting:
            return f"{waiting.get('reason', '')}: {waiting.get('message', '')}".rstrip(": ")
    return "starting"


def cause(run: Object, jobs: list[Object]) -> tuple[str, str]:
    """Reason and message of the condition that ended a run; for a JobSet, that of its Job."""
    for o in (*jobs, run):
        for condition in (o.get("status") or {}).get("conditions") or ():
            if condition.get("type") in FAILED_TYPES and condition.get("status") == "True":
                return str(condition.get("reason", "")), str(condition.get("message", ""))
    return "", ""


def reason(
    run: Object, jobs: list[Object], pods: list[Object], events: list[Object], queued: bool
) -> str:
    """One line: why a run waits, or which rank ended it; ranks that only lost a peer are left out.

    Args:
      run: the Job or JobSet.
      jobs: a JobSet's Jobs.
      pods: of all attempts.
      events: of the run and its Jobs, the oldest first.
      queued: whether Kueue starts it.
    """
    state, detail = run_state(run, pods, queued)
    failed = [pod for pod in pods if _phase(pod) == "Failed"]
    failed.sort(key=lambda pod: str(_terminated(pod).get("finishedAt", "")))
    culprits = [pod for pod in failed if _counted(pod)]
    if state == FAILED:
        return f"{state}: {_end(cause(run, jobs), culprits, failed) or detail or 'reason unknown'}"
    if state == PENDING:
        return f"pending: {detail or last_warning(events) or 'no pod was created yet'}"
    words = state + (f": {detail}" if detail else "")
    if culprits and state != SUCCEEDED:
        words = f"{state}; the last failure, which led to a restart: {_failure(culprits[-1])}"
    if state != RUNNING:
        return words
    there = [pod for pod in pods if _phase(pod) not in ENDED]
    return with_follower_state(words, follower_state(there))


def last_warning(events: list[Object]) -> str:
    """The cluster's last warning, such as about pods that it could not create; "" if none."""
    warnings = [str(e.get("message", "")) for e in events if e.get("type") == "Warning"]
    return warnings[-1] if warnings else ""


def _end(ended: tuple[str, str], culprits: list[Object], failed: list[Object]) -> str:
    """What ended a run, by the reason of its condition; failures that were retried did not."""
    why, message = ended
    if why == DEADLINE:
        return f"its deadline passed: {message}"
    if named := _POD.search(message):
        for pod in failed:
            if pod["metadata"]["name"] == named[1]:
                return _failure(pod)
        return message
    if why == "MaxFailedIndexesExceeded" or why == "FailedIndexes":
        return _failure(culprits[-1]) if culprits else message
    gone = [pod for pod in failed if _terminated(pod).get("exitCode") is None]
    return _failure((culprits or gone)[0]) if culprits or gone else message


def _counted(pod: Object) -> bool:
    """Whether a pod itself failed: not by a lost peer, SIGTERM or a drained node."""
    disrupted = any(
        condition.get("type") == "DisruptionTarget" and condition.get("status") == "True"
        for condition in (pod.get("status") or {}).get("conditions") or ()
    )
    code = _terminated(pod).get("exitCode")
    return _phase(pod) == "Failed" and not disrupted and code not in (*UNCOUNTED, None)


def _phase(pod: Object) -> str:
    return str((pod.get("status") or {}).get("phase", ""))


def _mark(pod: Object, name: str) -> int:
    return int((pod["metadata"].get("annotations") or {}).get(name, 0))


def _started_before(run: Object, pods: list[Object]) -> bool:
    if (run.get("status") or {}).get("restarts"):
        return True
    return any(_mark(pod, FAILED_BEFORE) or _mark(pod, IGNORED_BEFORE) for pod in pods)


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
