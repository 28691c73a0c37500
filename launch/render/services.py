"""Companion objects of runs: a TensorBoard.

A server without authentication: accessible only by port-forward (`launch tensorboard`).
"""

from __future__ import annotations

from typing import Any

from launch import ports
from launch.render.labels import EXCEPTIONS, labels, selector
from launch.render.network import to_names_and_storage
from launch.render.pod import SCRATCH, container_security, pod_security
from launch.spec import Spec

TENSORBOARD = "tensorboard"
_PORT_NAME = "http"


def tensorboard(spec: Spec, logdir: str) -> list[dict[str, Any]]:
    """A TensorBoard over a folder or gs:// path of run directories."""
    return [_deployment(spec, logdir), _service(spec), _closed(spec)]


def _deployment(spec: Spec, logdir: str) -> dict[str, Any]:
    volumes = [
        {"name": "scratch", "emptyDir": {"sizeLimit": "1Gi"}},
        *(
            {"name": f"volume-{n}", "persistentVolumeClaim": {"claimName": mount.claim}}
            for n, mount in enumerate(spec.mounts)
        ),
    ]
    pod: dict[str, Any] = {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "serviceAccountName": spec.service_account,
        "securityContext": pod_security(),
        "containers": [_container(spec, logdir)],
        "volumes": volumes,
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {**_metadata(spec), "annotations": dict(EXCEPTIONS)},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": selector(spec, TENSORBOARD)},
            "template": {"metadata": {"labels": labels(spec, TENSORBOARD)}, "spec": pod},
        },
    }


def _container(spec: Spec, logdir: str) -> dict[str, Any]:
    listens = {"tcpSocket": {"port": _PORT_NAME}}
    limits = {"memory": "2Gi", "ephemeral-storage": "1Gi"}
    return {
        "name": TENSORBOARD,
        "image": spec.image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["tensorboard"],
        "args": [
            f"--logdir={logdir}",
            "--host=0.0.0.0",
            f"--port={ports.TENSORBOARD}",
            # Each reload lists the storage: thousands of event files would cost millions of
            # requests.
            "--reload_interval=60",
            # The fast loader does not support Workload Identity's credentials everywhere.
            "--load_fast=false",
        ],
        "env": [{"name": "HOME", "value": SCRATCH}, {"name": "TMPDIR", "value": SCRATCH}],
        "ports": [{"name": _PORT_NAME, "containerPort": ports.TENSORBOARD}],
        "readinessProbe": {**listens, "periodSeconds": 5},
        "livenessProbe": {**listens, "periodSeconds": 20, "failureThreshold": 6},
        "securityContext": container_security(),
        "volumeMounts": [
            {"name": "scratch", "mountPath": SCRATCH},
            *(
                {"name": f"volume-{n}", "mountPath": mount.path, "readOnly": True}
                for n, mount in enumerate(spec.mounts)
            ),
        ],
        "resources": {"requests": {"cpu": "500m", **limits}, "limits": limits},
        "startupProbe": {**listens, "failureThreshold": 30, "periodSeconds": 5},
    }


def _service(spec: Spec) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": _metadata(spec),
        "spec": {
            "type": "ClusterIP",
            "selector": selector(spec, TENSORBOARD),
            "ports": [{"name": _PORT_NAME, "port": ports.TENSORBOARD, "targetPort": _PORT_NAME}],
        },
    }


def _closed(spec: Spec) -> dict[str, Any]:
    """Ingress only by port-forward; egress to DNS and HTTPS (storage)."""
    # No rules for ingress: nothing gets in, as the policy type is ingress. Not an empty list, which
    # a server does not store, so that every `kubectl apply` would send it again.
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": _metadata(spec),
        "spec": {
            "podSelector": {"matchLabels": selector(spec, TENSORBOARD)},
            "policyTypes": ["Ingress", "Egress"],
            "egress": to_names_and_storage(),
        },
    }


def _metadata(spec: Spec) -> dict[str, Any]:
    return {
        "name": f"{spec.name}-{TENSORBOARD}",
        "namespace": spec.namespace,
        "labels": labels(spec, TENSORBOARD),
    }
