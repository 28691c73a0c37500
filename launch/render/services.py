"""Companion objects of runs: a TensorBoard, and a tf.data service.

Both are servers without authentication: accessible only inside the cluster, TensorBoard by
port-forward (`launch tensorboard`), the data service by pods of the same run.
"""

from __future__ import annotations

from typing import Any

from launch import ports
from launch.render.labels import EXCEPTIONS, NAME, labels, selector
from launch.render.network import to_names_and_storage
from launch.render.pod import SCRATCH, container_security, pod_security
from launch.spec import Spec

TENSORBOARD, DISPATCHER, DATA_WORKER = "tensorboard", "data-dispatcher", "data-worker"
_DISPATCHER_STATE = "/state"


def tensorboard(spec: Spec, logdir: str) -> list[dict[str, Any]]:
    """A TensorBoard over a folder or gs:// path of run directories."""
    arguments = [
        f"--logdir={logdir}",
        "--host=0.0.0.0",
        f"--port={ports.TENSORBOARD}",
        # Each reload lists the storage: thousands of event files would cost millions of requests.
        "--reload_interval=60",
        # The fast loader does not support Workload Identity's credentials everywhere.
        "--load_fast=false",
    ]
    body = _container(spec, TENSORBOARD, ["tensorboard"], arguments, ports.TENSORBOARD)
    body["resources"] = _resources("500m", "2Gi", "1Gi")
    body["startupProbe"] = {**_tcp("http"), "failureThreshold": 30, "periodSeconds": 5}
    deployment = _workload(spec, "Deployment", TENSORBOARD, body, replicas=1)
    return [deployment, _service(spec, TENSORBOARD, ports.TENSORBOARD), _closed(spec, TENSORBOARD)]


def data_service(spec: Spec, workers: int, shared: bool = False) -> list[dict[str, Any]]:
    """Dispatcher and workers of a tf.data service, for the pods of `spec`'s run, or of all."""
    command = ["python", "-m", "trainer", "dataservice"]
    port = f"--port={ports.DATA_SERVICE}"
    dispatcher = _container(
        spec,
        DISPATCHER,
        command,
        [
            "--role=dispatcher",
            f"--host={_name(spec, DISPATCHER)}",
            port,
            f"--work_dir={_DISPATCHER_STATE}",
        ],
        ports.DATA_SERVICE,
    )
    dispatcher["resources"] = _resources("500m", "1Gi", "1Gi")
    dispatcher["volumeMounts"].append({"name": "state", "mountPath": _DISPATCHER_STATE})
    first = _workload(spec, "StatefulSet", DISPATCHER, dispatcher, replicas=1)
    first["spec"]["serviceName"] = _name(spec, DISPATCHER)
    # The dispatcher's journal outlives its pod, so that workers and trainers can continue after a
    # restart; it is deleted with the service.
    first["spec"]["persistentVolumeClaimRetentionPolicy"] = {"whenDeleted": "Delete"}
    # All fields, as a server stores them: `kubectl apply` compares such a list as a whole.
    first["spec"]["volumeClaimTemplates"] = [
        {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {"name": "state"},
            "spec": {
                "accessModes": ["ReadWriteOnce"],
                "resources": {"requests": {"storage": "1Gi"}},
                "volumeMode": "Filesystem",
            },
            "status": {"phase": "Pending"},
        }
    ]
    worker = _container(
        spec,
        DATA_WORKER,
        command,
        [
            "--role=worker",
            port,
            f"--dispatcher={data_service_address(spec)}",
            f"--advertise=$(POD_IP):{ports.DATA_SERVICE}",
        ],
        ports.DATA_SERVICE,
    )
    address = {"fieldRef": {"fieldPath": "status.podIP"}}
    worker["env"].insert(0, {"name": "POD_IP", "valueFrom": address})
    worker["resources"] = _resources("4", "8Gi", "2Gi")
    second = _workload(spec, "Deployment", DATA_WORKER, worker, replicas=workers)
    return [
        first,
        _service(spec, DISPATCHER, ports.DATA_SERVICE),
        second,
        # Not in k8s/, which is applied repeatedly: `kubectl apply` always sends a budget's selector
        # again and reports a change. When nodes are drained one by one, each has at most one
        # worker.
        *([] if shared else [_budget(spec, DATA_WORKER)]),
        _scaler(spec, DATA_WORKER, workers),
        _clients_only(spec, {NAME: "shardline"} if shared else selector(spec)),
    ]


def data_service_address(spec: Spec) -> str:
    """The address of a run's data service."""
    return f"grpc://{_name(spec, DISPATCHER)}:{ports.DATA_SERVICE}"


def _workload(
    spec: Spec, kind: str, component: str, container: dict[str, Any], replicas: int
) -> dict[str, Any]:
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
        "containers": [container],
        "volumes": volumes,
    }
    if replicas > 1:  # a lost node takes only one of them, if there are enough nodes
        term = {"labelSelector": {"matchLabels": selector(spec, component)},
                "topologyKey": "kubernetes.io/hostname"}  # fmt: skip
        weighted = [{"weight": 100, "podAffinityTerm": term}]
        preferred = {"preferredDuringSchedulingIgnoredDuringExecution": weighted}
        pod["affinity"] = {"podAntiAffinity": preferred}
    return {
        "apiVersion": "apps/v1",
        "kind": kind,
        "metadata": {**_metadata(spec, component), "annotations": dict(EXCEPTIONS)},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": selector(spec, component)},
            "template": {
                "metadata": {"labels": labels(spec, component)},
                "spec": pod,
            },
        },
    }


def _container(
    spec: Spec, name: str, command: list[str], arguments: list[str], port: int
) -> dict[str, Any]:
    port_name = "http" if port == ports.TENSORBOARD else "grpc"
    return {
        "name": name,
        "image": spec.image,
        "imagePullPolicy": "IfNotPresent",
        "command": command,
        "args": arguments,
        "env": [{"name": "HOME", "value": SCRATCH}, {"name": "TMPDIR", "value": SCRATCH}],
        "ports": [{"name": port_name, "containerPort": port}],
        "readinessProbe": {**_tcp(port_name), "periodSeconds": 5},
        "livenessProbe": {**_tcp(port_name), "periodSeconds": 20, "failureThreshold": 6},
        "securityContext": container_security(),
        "volumeMounts": [
            {"name": "scratch", "mountPath": SCRATCH},
            *(
                {"name": f"volume-{n}", "mountPath": mount.path, "readOnly": True}
                for n, mount in enumerate(spec.mounts)
            ),
        ],
    }


def _tcp(port: str) -> dict[str, Any]:
    return {"tcpSocket": {"port": port}}


def _resources(cpu: str, memory: str, disk: str) -> dict[str, Any]:
    limits = {"memory": memory, "ephemeral-storage": disk}
    return {"requests": {"cpu": cpu, **limits}, "limits": limits}


def _service(spec: Spec, component: str, port: int) -> dict[str, Any]:
    name = "http" if port == ports.TENSORBOARD else "grpc"
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": _metadata(spec, component),
        "spec": {
            "type": "ClusterIP",
            "selector": selector(spec, component),
            "ports": [{"name": name, "port": port, "targetPort": name}],
        },
    }


def _closed(spec: Spec, component: str) -> dict[str, Any]:
    """Ingress only by port-forward; egress to DNS and HTTPS (storage)."""
    return _policy(spec, component)


def _clients_only(spec: Spec, clients: dict[str, str]) -> dict[str, Any]:
    """Ingress from clients and each other; egress to each other and to storage."""
    policy = _policy(
        spec, "data-service", ingress=[{"from": [{"podSelector": {"matchLabels": clients}}]}]
    )
    policy["spec"]["podSelector"] = {
        "matchExpressions": [
            {
                "key": "app.kubernetes.io/component",
                "operator": "In",
                "values": [DISPATCHER, DATA_WORKER],
            }
        ],
        "matchLabels": selector(spec),
    }
    own = {"podSelector": {"matchLabels": selector(spec)}}
    policy["spec"]["egress"].insert(0, {"to": [own]})
    return policy


def _policy(
    spec: Spec, component: str, ingress: list[dict[str, Any]] | None = None
) -> dict[str, Any]:
    # An empty list is left out: a server does not store it, and every `kubectl apply` would send it
    # again. Without rules nothing gets in either, as the policy type is ingress.
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": _metadata(spec, component),
        "spec": {
            "podSelector": {"matchLabels": selector(spec, component)},
            "policyTypes": ["Ingress", "Egress"],
            **({"ingress": ingress} if ingress else {}),
            "egress": to_names_and_storage(),
        },
    }


def _budget(spec: Spec, component: str) -> dict[str, Any]:
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": _metadata(spec, component),
        "spec": {
            "maxUnavailable": "25%",
            "selector": {"matchLabels": selector(spec, component)},
            "unhealthyPodEvictionPolicy": "AlwaysAllow",
        },
    }


def _scaler(spec: Spec, component: str, workers: int) -> dict[str, Any]:
    """Scales the workers by CPU load: decoding is bound by processors."""
    usage = {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}}
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": _metadata(spec, component),
        "spec": {
            "scaleTargetRef": {
                "apiVersion": "apps/v1",
                "kind": "Deployment",
                "name": _name(spec, component),
            },
            "minReplicas": workers,
            "maxReplicas": 4 * workers,
            "metrics": [{"type": "Resource", "resource": usage}],
            # A removed worker loses the batches that it was about to send.
            "behavior": {"scaleDown": {"stabilizationWindowSeconds": 600}},
        },
    }


def _name(spec: Spec, component: str) -> str:
    return f"{spec.name}-{component}"


def _metadata(spec: Spec, component: str) -> dict[str, Any]:
    return {
        "name": _name(spec, component),
        "namespace": spec.namespace,
        "labels": labels(spec, component),
    }
