"""Whether a cluster's nodes could ever hold all workers of a run at once.

Ever: what runs on them now is not counted, as it will end. Decides as the scheduler would, by node
selector, taints, allocatable resources and required anti-affinity.
"""

from __future__ import annotations

from typing import Any

from launch import gpus
from launch.checks.result import Result, fail, ok, warning
from launch.quantity import amount, written

NAME = "room"
Object = dict[str, Any]


def room(pod: Object, workers: int, nodes: list[Object], autoscaled: bool) -> Result:
    """Whether `workers` pods of a template fit.

    Args:
      pod: the PodSpec of one worker.
      workers: how many must run at the same time.
      nodes: the cluster's.
      autoscaled: whether nodes may be added.
    """
    asked = requests(pod)
    words = ", ".join(
        f"{name} {value if isinstance(value, str) else written(value)}"
        for name, value in asked.items()
    )
    usable = [node for node in nodes if not why_not(pod, node)]
    if not usable:
        reasons = sorted({why_not(pod, node) for node in nodes})
        text = f"none of {len(nodes)} nodes may run a worker: {'; '.join(reasons[:3]) or 'no node'}"
        remedy = "another --gpu, --spot or node pool"
        if autoscaled:
            return warning(NAME, text, f"the autoscaler would have to add one, or set {remedy}")
        return fail(NAME, text, remedy)
    each = [fitting(asked, node) for node in usable]
    if alone(pod):
        each = [min(1, count) for count in each]
    if sum(each) >= workers:
        return ok(NAME, f"{workers} workers fit on {len(usable)} of {len(nodes)} nodes")
    if not any(each):
        text = f"no node has room for one worker ({words}); {_largest(usable, asked)}"
        return fail(NAME, text, request_less(pod))
    text = f"room for {sum(each)} of {workers} workers ({words}) on {len(usable)} nodes"
    if autoscaled:
        return warning(NAME, text, "the autoscaler would have to add nodes")
    return fail(NAME, text, f"--workers={sum(each)}, {request_less(pod)}, or add nodes")


def requests(pod: Object) -> dict[str, Any]:
    """What a pod requests, summed over the containers that run at the same time."""
    found: dict[str, Any] = {}
    for container in lasting_containers(pod):
        for name, value in ((container.get("resources") or {}).get("requests") or {}).items():
            found[name] = value if name not in found else amount(found[name]) + amount(value)
    return found


def request_less(pod: Object) -> str:
    """The remedy, by the flags that decide what a pod requests."""
    follower = ", --augment_workers" if len(lasting_containers(pod)) > 1 else ""
    return f"request less (--cpus, --memory, --scratch, --gpu{follower})"


def lasting_containers(pod: Object) -> list[Object]:
    """A pod's containers and its sidecars, which run as long; other init containers do not."""
    before = pod.get("initContainers") or ()
    sidecars = [each for each in before if each.get("restartPolicy") == "Always"]
    return [*sidecars, *(pod.get("containers") or ())]


def fitting(asked: dict[str, Any], node: Object) -> int:
    """How many of these pods an empty node can hold."""
    there = (node.get("status") or {}).get("allocatable") or {}
    counts = [amount(there.get(name, 0)) // amount(value) for name, value in asked.items()
              if amount(value)]  # fmt: skip
    return int(min([amount(there.get("pods", 110)), *counts]))


def why_not(pod: Object, node: Object) -> str:
    """Why a pod may not run on a node, whatever its size; "" if it may."""
    spec, labels = node.get("spec") or {}, (node.get("metadata") or {}).get("labels") or {}
    for name, value in (pod.get("nodeSelector") or {}).items():
        if labels.get(name) != value:
            return f"{name} is not {value}"
    for taint in spec.get("taints") or ():
        hard = taint.get("effect") in ("NoSchedule", "NoExecute")
        # Most of Kubernetes' own taints are temporary: a node that is not ready, or full just now.
        if hard and not taint.get("key", "").startswith("node.kubernetes.io/") and not any(
            _tolerates(toleration, taint) for toleration in pod.get("tolerations") or ()
        ):  # fmt: skip
            return f"taint {taint.get('key')}"
    return "cordoned" if spec.get("unschedulable") else ""


def alone(pod: Object) -> bool:
    """Whether no two workers may share a node."""
    terms = ((pod.get("affinity") or {}).get("podAntiAffinity") or {}).get(
        "requiredDuringSchedulingIgnoredDuringExecution"
    )
    return any(term.get("topologyKey") == "kubernetes.io/hostname" for term in terms or ())


def _tolerates(toleration: Object, taint: Object) -> bool:
    """API reference, Toleration: an empty key with Exists tolerates all, no effect every one."""
    if toleration.get("effect") not in (None, "", taint.get("effect")):
        return False
    if toleration.get("operator") == "Exists":
        return toleration.get("key") in (None, "", taint.get("key"))
    return (toleration.get("key"), toleration.get("value")) == (
        taint.get("key"),
        taint.get("value"),
    )


def _largest(nodes: list[Object], asked: dict[str, Any]) -> str:
    """The largest amount on any node of what is requested."""
    most = {}
    for name in asked:
        values = [((n.get("status") or {}).get("allocatable") or {}).get(name, 0) for n in nodes]
        most[name] = max(values, key=amount)
    short = [
        f"{name} {value}" for name, value in most.items() if amount(value) < amount(asked[name])
    ]
    if gpus.RESOURCE in asked and not amount(most[gpus.RESOURCE]):
        return "no node has a GPU known to Kubernetes: is the device plugin installed?"
    return f"the largest has {', '.join(short)}" if short else "no single node has all of it"
