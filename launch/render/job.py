"""A run as one Indexed Job of `batch/v1`, which every cluster supports.

All workers have to restart together. Those that lose a peer exit with 76, which is not counted, so
only the rank that failed is counted: `backoffLimitPerIndex` counts for each rank separately,
whereas `backoffLimit` would count one failure once for every worker.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from launch.render.labels import EXCEPTIONS, QUEUE, labels
from launch.render.network import service
from launch.render.pod import CONTAINER, WORKER, pod_template
from launch.spec import Spec
from preprocess.shell.exit_codes import FINAL, UNCOUNTED

KEEP_FINISHED_SECONDS = 86400  # a run that has ended, for inspection


def workload(spec: Spec) -> list[dict[str, Any]]:
    """The Job, and a host name for each worker if they train together."""
    return [job(spec), service(spec)] if spec.together else [job(spec)]


def job(spec: Spec) -> dict[str, Any]:
    """A Job, suspended: what depends on it is created before it starts."""
    body: dict[str, Any] = {
        "suspend": True,
        "completionMode": "Indexed",
        "completions": spec.workers,
        "parallelism": spec.workers,
        "podReplacementPolicy": "Failed",
        "activeDeadlineSeconds": spec.deadline,
        "ttlSecondsAfterFinished": KEEP_FINISHED_SECONDS,
        "podFailurePolicy": {"rules": failure_rules()},
        **restarts(spec),
    }
    if spec.together:
        # The chief exits last, when everything is written.
        body["successPolicy"] = {"rules": [{"succeededIndexes": "0"}]}
    body["template"] = pod_template(spec)
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": spec.name,
            "namespace": spec.namespace,
            "labels": {**labels(spec, WORKER), **({QUEUE: spec.queue} if spec.queue else {})},
            "annotations": dict(EXCEPTIONS),
        },
        "spec": body,
    }


def restarts(spec: Spec) -> dict[str, Any]:
    """How many counted failures of a rank are retried before the training fails."""
    if spec.max_restarts == 0 and spec.workers == 1:
        return {"backoffLimit": 0}
    if not spec.together and spec.workers > 1:
        # In a search, a worker that fails permanently does not end the others.
        return {"backoffLimitPerIndex": spec.max_restarts}
    return {"backoffLimitPerIndex": spec.max_restarts, "maxFailedIndexes": 0}


def failure_rules() -> list[dict[str, Any]]:
    """A podFailurePolicy's rules; the first that matches applies."""
    # A drained or preempted node is not the run's failure.
    return [disrupted("Ignore"), exits("FailJob", FINAL), exits("Ignore", UNCOUNTED)]


def disrupted(action: str) -> dict[str, Any]:
    """The rule of a podFailurePolicy for a pod whose node is drained or preempted."""
    conditions = [{"type": "DisruptionTarget", "status": "True"}]
    return {"action": action, "onPodConditions": conditions}


def exits(action: str, codes: Iterable[int]) -> dict[str, Any]:
    """The rule of a podFailurePolicy for a worker that ends with one of some exit codes."""
    values = sorted(map(int, codes))
    match = {"containerName": CONTAINER, "operator": "In", "values": values}
    return {"action": action, "onExitCodes": match}
