"""Labels that connect the objects of one run."""

from __future__ import annotations

from launch.spec import Spec

NAME = "app.kubernetes.io/name"
INSTANCE = "app.kubernetes.io/instance"
COMPONENT = "app.kubernetes.io/component"
MANAGED_BY = "app.kubernetes.io/managed-by"
QUEUE = "kueue.x-k8s.io/queue-name"

# If an object deliberately breaks a rule of a public linter, an annotation says why.
EXCEPTIONS = {
    "ignore-check.kube-linter.io/unset-cpu-requirements": (
        "requested and not limited: throttling in the middle of a step stalls every replica"
    ),
}


def selector(spec: Spec, component: str = "") -> dict[str, str]:
    """Selects the pods of a run, or of one component of it."""
    found = {NAME: "shardline", INSTANCE: spec.name}
    return {**found, COMPONENT: component} if component else found


def labels(spec: Spec, component: str) -> dict[str, str]:
    """Labels of an object of a run."""
    return {**selector(spec, component), MANAGED_BY: "launch", **dict(spec.kind.labels)}
