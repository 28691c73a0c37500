"""A run as a JobSet (jobset.x-k8s.io): counts restarts of the whole gang, exactly.

The child Job fails at the first pod that does, whatever for; the message of its failure names
the exit code, and the JobSet's rules tell the causes apart by it.
"""

from __future__ import annotations

from typing import Any

from launch.exit_codes import NEVER_RETRIED, RESTART
from launch.render.job import keep_finished
from launch.render.labels import EXCEPTIONS, QUEUE, labels
from launch.render.pod import CONTAINER, WORKER, pod_template
from launch.spec import Spec


def jobset(spec: Spec) -> dict[str, Any]:
    """A JobSet, suspended: what depends on it is made before it starts."""
    template = pod_template(spec)
    # JobSet sets host names and the service itself.
    del template["spec"]["subdomain"]
    child = {
        "completionMode": "Indexed",
        "completions": spec.workers,
        "parallelism": spec.workers,
        "backoffLimit": 0,
        "podReplacementPolicy": "Failed",
        "activeDeadlineSeconds": spec.deadline,
        "podFailurePolicy": {"rules": _child_rules()},
        "template": template,
    }
    if spec.gang:
        child["successPolicy"] = {"rules": [{"succeededIndexes": "0"}]}
    return {
        "apiVersion": "jobset.x-k8s.io/v1alpha2",
        "kind": "JobSet",
        "metadata": {
            "name": spec.name,
            "namespace": spec.namespace,
            "labels": {**labels(spec, WORKER), **({QUEUE: spec.queue} if spec.queue else {})},
            "annotations": dict(EXCEPTIONS),
        },
        "spec": {
            "suspend": True,
            "network": {
                "enableDNSHostnames": True,
                "subdomain": spec.name,
                "publishNotReadyAddresses": True,
            },
            "ttlSecondsAfterFinished": keep_finished(spec),
            "failurePolicy": {
                "maxRestarts": spec.max_restarts,
                # No pod of the life before may meet one of the new.
                "restartStrategy": "BlockingRecreate",
                "rules": gang_rules(),
            },
            "replicatedJobs": [{"name": WORKER, "replicas": 1, "template": {"spec": child}}],
        },
    }


def gang_rules() -> list[dict[str, Any]]:
    """The JobSet's own failure policy; the first rule that matches wins."""

    def rule(name: str, action: str, *patterns: str) -> dict[str, Any]:
        return {
            "name": name,
            "action": action,
            "onJobFailureReasons": ["PodFailurePolicy"],
            "onJobFailureMessagePatterns": list(patterns),
        }

    never = "|".join(map(str, sorted(NEVER_RETRIED)))
    return [
        # Each life has the deadline anew; where one takes all of it, the next would too.
        {"name": "deadline", "action": "FailJobSet", "onJobFailureReasons": ["DeadlineExceeded"]},
        rule("user-error", "FailJobSet", rf".*exit code ({never}) .*"),
        rule(
            "not-counted",
            "RestartJobSetAndIgnoreMaxRestarts",
            rf".*exit code {RESTART} .*",
            ".*DisruptionTarget.*",
        ),
    ]


def _child_rules() -> list[dict[str, Any]]:
    values = sorted([*NEVER_RETRIED, RESTART])
    match = {"containerName": CONTAINER, "operator": "In", "values": values}
    disrupted = [{"type": "DisruptionTarget", "status": "True"}]
    return [
        {"action": "FailJob", "onPodConditions": disrupted},
        {"action": "FailJob", "onExitCodes": match},
    ]
