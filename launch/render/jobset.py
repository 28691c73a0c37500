"""A run as a JobSet (jobset.x-k8s.io): counts restarts of all workers together, exactly.

The child Job fails at the first pod that fails for another reason than a lost peer; the failure
message names the exit code, by which the JobSet's rules distinguish the causes.
"""

from __future__ import annotations

from typing import Any

from launch.render.job import KEEP_FINISHED_SECONDS, disrupted, exits
from launch.render.labels import EXCEPTIONS, QUEUE, labels
from launch.render.pod import WORKER, pod_template
from launch.spec import Spec
from preprocess.shell.exit_codes import FINAL, ExitCode


def workload(spec: Spec) -> list[dict[str, Any]]:
    """The JobSet, which creates the host names of its workers itself."""
    return [jobset(spec)]


def jobset(spec: Spec) -> dict[str, Any]:
    """A JobSet, suspended: what depends on it is created before it starts."""
    template = pod_template(spec)
    # JobSet sets host names and creates the service itself.
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
    if spec.together:
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
            "ttlSecondsAfterFinished": KEEP_FINISHED_SECONDS,
            "failurePolicy": {
                "maxRestarts": spec.max_restarts,
                # Pods of the previous attempt must never meet new ones.
                "restartStrategy": "BlockingRecreate",
                "rules": failure_policy_rules(),
            },
            "replicatedJobs": [{"name": WORKER, "replicas": 1, "template": {"spec": child}}],
        },
    }


def failure_policy_rules() -> list[dict[str, Any]]:
    """The JobSet's own failure policy; the first rule that matches applies."""

    def rule(name: str, action: str, *patterns: str) -> dict[str, Any]:
        return {
            "name": name,
            "action": action,
            "onJobFailureReasons": ["PodFailurePolicy"],
            "onJobFailureMessagePatterns": list(patterns),
        }

    final = "|".join(map(str, sorted(FINAL)))
    return [
        # Each attempt has the whole deadline; if one exceeds it, the next one would too.
        {"name": "deadline", "action": "FailJobSet", "onJobFailureReasons": ["DeadlineExceeded"]},
        rule("user_error", "FailJobSet", rf".*exit code ({final}) .*"),
        rule(
            "not_counted",
            "RestartJobSetAndIgnoreMaxRestarts",
            rf".*exit code {ExitCode.SAVED} .*",
            ".*DisruptionTarget.*",
        ),
    ]


def _child_rules() -> list[dict[str, Any]]:
    """For the child Job. A pod that lost a peer is replaced and does not fail the Job: when a crash
    and the 76 it causes coincide, either could be named, and be counted or not by chance.
    """
    return [
        disrupted("FailJob"),
        exits("FailJob", (*FINAL, ExitCode.SAVED)),
        exits("Ignore", (ExitCode.LOST_PEER,)),
    ]
