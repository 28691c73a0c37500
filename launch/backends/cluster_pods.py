"""The pods of a run, but not those of an earlier run with the same name."""

from __future__ import annotations

from launch.backends.cluster_state import index_of
from launch.backends.kube import Api, Forbidden, Missing, Object
from launch.render.labels import selector
from launch.render.pod import WORKER
from launch.runs.records import Record

JOBSET = "jobset.sigs.k8s.io/jobset-name"
# Labels with the uid of the JobSet or, without one, of the Job.
_UIDS = ("jobset.sigs.k8s.io/jobset-uid", "batch.kubernetes.io/controller-uid")


def pods_of(api: Api, record: Record, run: Object, newest: bool) -> list[Object]:
    """Pods of a run by rank: only the newest of each rank, or all, the oldest first."""
    found = [pod for pod in api.find("Pod", selector(record.spec, WORKER)) if is_pod_of(pod, run)]
    found.sort(key=_age)
    if newest:
        found = list({index_of(pod): pod for pod in found}.values())
    return sorted(found, key=index_of)


def children(api: Api, run: Object) -> list[Object]:
    """The Jobs of a JobSet."""
    if run.get("kind") != "JobSet":
        return []
    found = api.find("Job", {JOBSET: run["metadata"]["name"]})
    return [job for job in found if _owned_by(job, run)]


def workload_of(api: Api, run: Object) -> Object:
    """Kueue's object for a run; {} if there is none."""
    try:
        found = api.find("Workload")
    except Missing:
        return {}
    return next((o for o in found if _owned_by(o, run)), {})


def waits_for_queue(api: Api, record: Record, run: Object) -> bool:
    """Whether Kueue will start a suspended run, rather than somebody's `resume`."""
    if not record.spec.queue or not (run.get("spec") or {}).get("suspend"):
        return False
    try:
        workload = workload_of(api, run)
    except Forbidden:  # a user who may not read it cannot have deactivated it either
        return True
    return bool((workload.get("spec") or {}).get("active", True))


def _owned_by(o: Object, run: Object) -> bool:
    owners = o["metadata"].get("ownerReferences") or ()
    return any(owner.get("uid") == run["metadata"].get("uid") for owner in owners)


def is_pod_of(pod: Object, run: Object) -> bool:
    """Whether a pod belongs to exactly this Job or JobSet, not to an earlier one of that name."""
    uid = (run.get("metadata") or {}).get("uid")
    labels = pod["metadata"].get("labels") or {}
    found = next((labels[name] for name in _UIDS if name in labels), uid)
    return bool(found == uid)


def _age(pod: Object) -> tuple[str, bool]:
    """Times are in seconds: of two pods in the same second, the running one is the newer."""
    ended = (pod.get("status") or {}).get("phase") in ("Failed", "Succeeded")
    return str(pod["metadata"].get("creationTimestamp", "")), not ended
