"""A run as one Indexed Job of `batch/v1`: needs nothing installed in the cluster.

All workers have to restart together. Those that lose a peer leave with 75, which is not
counted, so only the rank that failed is charged: `backoffLimitPerIndex` counts for each rank
alone, where `backoffLimit` would count one fault once for every worker.
"""

from __future__ import annotations

from typing import Any

from launch.exit_codes import NEVER_RETRIED, RESTART
from launch.render.labels import EXCEPTIONS, QUEUE, labels
from launch.render.pod import CONTAINER, WORKER, pod_template
from launch.spec import Spec

KEEP_FINISHED_SECONDS = 86400
# What stands beside a run is deleted with it: a data service is not paid for a day longer.
KEEP_WITH_SERVICE_SECONDS = 3600


def job(spec: Spec) -> dict[str, Any]:
    """A Job, suspended: what depends on it is made before it starts."""
    body: dict[str, Any] = {
        "suspend": True,
        "completionMode": "Indexed",
        "completions": spec.workers,
        "parallelism": spec.workers,
        "podReplacementPolicy": "Failed",
        "activeDeadlineSeconds": spec.deadline,
        "ttlSecondsAfterFinished": keep_finished(spec),
        "podFailurePolicy": {"rules": failure_rules()},
        **restarts(spec),
    }
    if spec.gang:
        # The chief leaves last and has written everything by then.
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


def keep_finished(spec: Spec) -> int:
    """Seconds for which a run that has ended can still be looked at."""
    return KEEP_WITH_SERVICE_SECONDS if spec.data_workers else KEEP_FINISHED_SECONDS


def restarts(spec: Spec) -> dict[str, Any]:
    """How many counted failures of a rank are made good; then the run, if it is a gang, ends."""
    if spec.max_restarts == 0 and spec.workers == 1:
        return {"backoffLimit": 0}
    if not spec.gang and spec.workers > 1:
        # Trials of a search: one that fails for good does not end the others.
        return {"backoffLimitPerIndex": spec.max_restarts}
    return {"backoffLimitPerIndex": spec.max_restarts, "maxFailedIndexes": 0}


def failure_rules() -> list[dict[str, Any]]:
    """A podFailurePolicy's rules; the first that matches wins."""

    def exits(action: str, *codes: int) -> dict[str, Any]:
        values = sorted(codes)
        match = {"containerName": CONTAINER, "operator": "In", "values": values}
        return {"action": action, "onExitCodes": match}

    # A drained or preempted node is nobody's fault.
    disrupted = [{"type": "DisruptionTarget", "status": "True"}]
    return [
        {"action": "Ignore", "onPodConditions": disrupted},
        exits("FailJob", *NEVER_RETRIED),
        exits("Ignore", RESTART),
    ]
