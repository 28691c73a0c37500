"""The pod of one worker: the same in a Job and in a JobSet.

It passes Pod Security `restricted`: no root user, no writable root, no capabilities, no token.
Whatever needs to write uses /scratch.
"""

from __future__ import annotations

import json
from typing import Any

from launch import gpus, ports
from launch.render.follower import advice, keeper
from launch.render.labels import INSTANCE, labels
from launch.render.own_code import volume_mounts, volumes
from launch.spec import Spec

INDEX = "JOB_COMPLETION_INDEX"
INDEX_ANNOTATION = "batch.kubernetes.io/job-completion-index"
USER = 10001  # above the range of users that a node may have
SCRATCH = "/scratch"
WORKER = "worker"
CONTAINER = "trainer"
FOLLOWER_CONTAINER = "follower"
FOLLOWER_DISK = "1Gi"  # for its log; pictures are written to the dataset

# Where libraries write instead of their home folder, which is read-only.
_HOMES = {
    "HOME": SCRATCH,
    "TMPDIR": SCRATCH,
    "XDG_CACHE_HOME": f"{SCRATCH}/cache",
    "TFHUB_CACHE_DIR": f"{SCRATCH}/hub",
    "KERAS_HOME": f"{SCRATCH}/keras",
    "MPLCONFIGDIR": f"{SCRATCH}/matplotlib",
    # The wheel has no code for the newest GPUs: code compiled at first use is cached here.
    "CUDA_CACHE_PATH": f"{SCRATCH}/cuda",
    "CUDA_CACHE_MAXSIZE": "4294967296",
}


def hosts(spec: Spec) -> list[str]:
    """HOST:PORT of every worker, in the order of their ranks."""
    stem = spec.kind.host.format(name=spec.name)
    return [f"{stem}-{rank}.{spec.name}:{ports.GRPC}" for rank in range(spec.workers)]


def pod_template(spec: Spec) -> dict[str, Any]:
    """A PodTemplateSpec."""
    return {
        "metadata": {
            "labels": labels(spec, WORKER),
            "annotations": {"cluster-autoscaler.kubernetes.io/safe-to-evict": "false"},
        },
        "spec": pod_spec(spec),
    }


def pod_spec(spec: Spec) -> dict[str, Any]:
    """A PodSpec: one worker, its volumes, where it may run."""
    pod: dict[str, Any] = {
        "restartPolicy": "Never",
        "subdomain": spec.name,
        "terminationGracePeriodSeconds": spec.grace,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "serviceAccountName": spec.service_account,
        "securityContext": pod_security(),
        **({"initContainers": [follower_container(spec)]} if spec.follower else {}),
        "containers": [container(spec)],
        "volumes": [
            {"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": spec.shared_memory}},
            {"name": "scratch", "emptyDir": {"sizeLimit": spec.scratch}},
            *(
                {"name": f"volume-{n}", "persistentVolumeClaim": {"claimName": mount.claim}}
                for n, mount in enumerate(spec.mounts)
            ),
            *volumes(spec),
        ],
        **placement(spec),
    }
    if spec.priority:
        pod["priorityClassName"] = spec.priority
    return pod


def pod_security() -> dict[str, Any]:
    """A pod's security context: Pod Security's `restricted`."""
    return {
        "runAsNonRoot": True,
        "runAsUser": USER,
        "runAsGroup": USER,
        "fsGroup": USER,
        "fsGroupChangePolicy": "OnRootMismatch",
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def container_security() -> dict[str, Any]:
    """A container's security context: likewise, with a read-only root."""
    return {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "runAsNonRoot": True,
        "capabilities": {"drop": ["ALL"]},
    }


def container(spec: Spec) -> dict[str, Any]:
    """The container of a worker."""
    limits: dict[str, Any] = {"memory": spec.memory, "ephemeral-storage": spec.scratch}
    requests: dict[str, Any] = {"cpu": str(spec.cpus), **limits}
    if spec.gpu:
        limits[gpus.RESOURCE] = requests[gpus.RESOURCE] = spec.gpu.count
    return {
        "name": CONTAINER,
        "image": spec.image,
        "imagePullPolicy": "IfNotPresent",
        "command": list(spec.command[:1]),
        "args": [_escaped(word) for word in spec.command[1:]],
        "env": environment(spec),
        **({"ports": [{"name": "grpc", "containerPort": ports.GRPC}]} if spec.together else {}),
        # No limit on processors: throttling in the middle of a step stalls every replica.
        "resources": {"requests": requests, "limits": limits},
        "securityContext": container_security(),
        "volumeMounts": [
            {"name": "shm", "mountPath": "/dev/shm"},
            {"name": "scratch", "mountPath": SCRATCH},
            *(
                {"name": f"volume-{n}", "mountPath": mount.path}
                for n, mount in enumerate(spec.mounts)
            ),
            *volume_mounts(spec),
        ],
        # The last lines of a failed worker go to its status, for `launch why`.
        "terminationMessagePolicy": "FallbackToLogsOnError",
    }


def follower_container(spec: Spec) -> dict[str, Any]:
    """The follower, as a sidecar: an init container that the kubelet restarts by itself, and ends
    once the trainer has ended. All pods of a Job are alike; that of rank 0 alone has work for it.
    """
    place = [f"--rank=$({INDEX})"] if spec.together else []
    command = keeper(spec, "python", place)
    # A gigabyte for each process that builds, and for the one that starts them.
    memory = f"{spec.augment_workers + 1}Gi"
    limits = {"memory": memory, "ephemeral-storage": FOLLOWER_DISK}
    found = {
        **container(spec),
        "name": FOLLOWER_CONTAINER,
        "command": command[:1],
        "args": [word if word in place else _escaped(word) for word in command[1:]],
        "env": [entry for entry in environment(spec) if entry["name"] != "TF_CONFIG"],
        "resources": {"requests": {"cpu": str(spec.augment_workers), **limits}, "limits": limits},
        "restartPolicy": "Always",
    }
    found.pop("ports", None)
    return found


def environment(spec: Spec) -> list[dict[str, Any]]:
    """Environment variables, in an order that matters: `$(NAME)` expands only earlier names."""
    found: list[dict[str, Any]] = []
    if spec.together:
        path = f"metadata.labels['{INDEX_ANNOTATION}']"
        # The Job controller appends its own variable last, after TF_CONFIG, unless it is already
        # there.
        found.append({"name": INDEX, "valueFrom": {"fieldRef": {"fieldPath": path}}})
        found.append({"name": "TF_CONFIG", "value": tf_config(hosts(spec), f"$({INDEX})")})
    found += [{"name": name, "value": value} for name, value in (_HOMES | advice(spec)).items()]
    found += [{"name": name, "value": _escaped(value)} for name, value in spec.env]
    found += [
        {
            "name": secret.variable,
            "valueFrom": {"secretKeyRef": {"name": secret.name, "key": secret.key}},
        }
        for secret in spec.secrets
    ]
    return found


def _escaped(text: str) -> str:
    """Escapes dollars, so that the user's text is not taken as a reference."""
    return text.replace("$", "$$")


def tf_config(addresses: list[str], index: str) -> str:
    """TF_CONFIG's JSON; `index` is inserted verbatim, a number or what expands to one."""
    cluster = json.dumps({"worker": addresses}, separators=(",", ":"))
    return f'{{"cluster":{cluster},"task":{{"type":"worker","index":{index}}}}}'


def placement(spec: Spec) -> dict[str, Any]:
    """Node selection: GPU kind, spot, workers close together and, if they fill it, one a node."""
    choose: dict[str, str] = {}
    tolerate: list[dict[str, Any]] = []
    if spec.gpu:
        if spec.gpu.label:
            choose[gpus.NODE_LABEL] = spec.gpu.label
        tolerate.append({"key": gpus.RESOURCE, "operator": "Exists", "effect": "NoSchedule"})
    if spec.spot:
        choose["cloud.google.com/gke-spot"] = "true"
        tolerate.append(
            {
                "key": "cloud.google.com/gke-spot",
                "operator": "Equal",
                "value": "true",
                "effect": "NoSchedule",
            }
        )
    found: dict[str, Any] = {}
    if choose:
        found["nodeSelector"] = choose
    if tolerate:
        found["tolerations"] = tolerate
    if spec.together:
        found["affinity"] = {"podAffinity": _near(spec), "podAntiAffinity": _apart(spec)}
    return found


def _near(spec: Spec) -> dict[str, Any]:
    term = _term(spec, "topology.kubernetes.io/zone")
    return {
        "preferredDuringSchedulingIgnoredDuringExecution": [
            {"weight": 100, "podAffinityTerm": term}
        ]
    }


def _apart(spec: Spec) -> dict[str, Any]:
    term = _term(spec, "kubernetes.io/hostname")
    if spec.gpu and spec.gpu.whole_node:
        return {"requiredDuringSchedulingIgnoredDuringExecution": [term]}
    return {
        "preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 50, "podAffinityTerm": term}]
    }


def _term(spec: Spec, topology: str) -> dict[str, Any]:
    match = {"matchLabels": {INSTANCE: spec.name}}
    return {"labelSelector": match, "topologyKey": topology}
