"""How the workers of a run find each other, with access denied to everything else."""

from __future__ import annotations

from typing import Any

from launch import ports
from launch.render.labels import INSTANCE, labels, selector
from launch.render.pod import WORKER
from launch.spec import Spec


def service(spec: Spec) -> dict[str, Any]:
    """A headless Service: a name for every pod, even before it is ready.

    A JobSet creates its own.
    """
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": _metadata(spec),
        "spec": {
            "clusterIP": "None",
            "publishNotReadyAddresses": True,
            "selector": selector(spec, WORKER),
            "ports": [{"name": "grpc", "port": ports.GRPC, "targetPort": "grpc"}],
        },
    }


def network_policy(spec: Spec) -> dict[str, Any]:
    """The workers' policy. Ingress: only pods of the same run, as TensorFlow's gRPC servers have no
    authentication.

    Egress: the run itself, DNS and storage.
    """
    same_run = {"podSelector": {"matchLabels": selector(spec)}}
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": _metadata(spec),
        "spec": {
            "podSelector": {"matchLabels": selector(spec, WORKER)},
            "policyTypes": ["Ingress", "Egress"],
            "ingress": [{"from": [same_run]}],
            "egress": [
                {"to": [same_run]},
                *({"to": [_pods(label)], "ports": _tcp(port)} for label, port in spec.kind.reaches),
                *to_names_and_storage(),
            ],
        },
    }


def to_names_and_storage() -> list[dict[str, Any]]:
    """The egress rules that every pod needs: DNS, HTTPS (storage) and the metadata server with
    Workload Identity's tokens (169.254.169.254:80, and 988 with GKE's own network).
    """
    metadata_server = [
        {"ipBlock": {"cidr": "169.254.169.254/32"}},
        {"ipBlock": {"cidr": "169.254.169.252/32"}},
    ]
    return [
        {"ports": [{"protocol": "UDP", "port": 53}, *_tcp(53)]},
        {"ports": _tcp(443)},
        {"to": metadata_server, "ports": _tcp(80, 988)},
    ]


def _pods(instance: str) -> dict[str, Any]:
    return {"podSelector": {"matchLabels": {INSTANCE: instance}}}


def _tcp(*numbers: int) -> list[dict[str, Any]]:
    return [{"protocol": "TCP", "port": number} for number in numbers]


def _metadata(spec: Spec) -> dict[str, Any]:
    return {"name": spec.name, "namespace": spec.namespace, "labels": labels(spec, WORKER)}
