"""What a careful operator asks of any workload."""

from __future__ import annotations

import re

from launch.lint.rule import SERVERS, Bundle, Found, Pod, Rule
from launch.quantity import amount
from launch.spec import NAME_LENGTH

_DIGEST = re.compile(r".+@sha256:[0-9a-f]{64}$")
LABEL_LENGTH = 63  # RFC 1123


def image_by_digest(bundle: Bundle) -> Found:
    """A tag can be moved between the restart of one worker and of another."""
    for pod in bundle.pods():
        for container in pod.containers():
            image = container.get("image", "")
            if not _DIGEST.match(image):
                yield pod, f"{container.get('name')}: image '{image}' is not given by its digest"


def resources(bundle: Bundle) -> Found:
    """Without requests the scheduler guesses; without a limit on memory a node is at risk."""
    for pod in bundle.pods():
        for container in pod.containers():
            name, asked = container.get("name"), container.get("resources") or {}
            requests, limits = asked.get("requests") or {}, asked.get("limits") or {}
            for kind in ("cpu", "memory"):
                if kind not in requests:
                    yield pod, f"{name} requests no {kind}"
            if "memory" not in limits:
                yield pod, f"{name} has no limit on memory"
            elif limits["memory"] != requests.get("memory"):
                yield pod, f"{name}: memory limit and request differ; the node may be overfull"


def ephemeral_storage(bundle: Bundle) -> Found:
    """A pod that fills its node's disk takes its neighbours with it."""
    for pod in bundle.pods():
        for container in pod.containers():
            limits = (container.get("resources") or {}).get("limits") or {}
            if "ephemeral-storage" not in limits:
                yield pod, f"{container.get('name')} has no limit on ephemeral-storage"
        for volume in pod.spec.get("volumes", ()):
            if "emptyDir" in volume and not (volume["emptyDir"] or {}).get("sizeLimit"):
                yield pod, f"volume {volume.get('name')} has no sizeLimit"


def shared_memory_fits(bundle: Bundle) -> Found:
    """Memory-backed volumes count against the container's limit."""
    for pod in bundle.pods():
        memory = sum(
            amount(volume["emptyDir"].get("sizeLimit", "0"))
            for volume in pod.spec.get("volumes", ())
            if (volume.get("emptyDir") or {}).get("medium") == "Memory"
        )
        for container in pod.containers():
            limits = (container.get("resources") or {}).get("limits") or {}
            if memory and memory >= amount(limits.get("memory", "0")):
                yield pod, "volumes in memory are as large as the memory limit"


def probes(bundle: Bundle) -> Found:
    """A server that takes no connections must not be sent any."""
    for pod in bundle.pods():
        if pod.kind not in SERVERS or pod.owner.get("kind") == "FlinkDeployment":
            continue
        for container in pod.spec.get("containers", ()):
            for probe in ("readinessProbe", "livenessProbe"):
                if probe not in container:
                    yield pod, f"{container.get('name')} has no {probe}"


def volumes_exist(bundle: Bundle) -> Found:
    """Each mount names a volume, and each volume is mounted."""
    for pod in bundle.pods():
        there = {volume.get("name") for volume in pod.spec.get("volumes", ())}
        # A StatefulSet's claims are volumes too.
        claims = (pod.owner.get("spec") or {}).get("volumeClaimTemplates", ())
        there |= {claim["metadata"]["name"] for claim in claims}
        used = {m.get("name") for c in pod.containers() for m in c.get("volumeMounts", ())}
        for name in sorted(used - there):
            yield pod, f"a mount names the volume '{name}', which is not there"
        for name in sorted(there - used):
            yield pod, f"the volume '{name}' is mounted nowhere"


def no_variable_twice(bundle: Bundle) -> Found:
    """The later one would win, silently."""
    for pod in bundle.pods():
        for container in pod.containers():
            names = [variable.get("name") for variable in container.get("env", ())]
            for name in sorted({n for n in names if names.count(n) > 1}):
                yield pod, f"{name} is set twice in {container.get('name')}"


def references_point_back(bundle: Bundle) -> Found:
    """`$(NAME)` expands names that come earlier, and stays as it is for later ones."""
    for pod in bundle.pods():
        for container in pod.containers():
            seen: set[str] = set()
            for variable in container.get("env", ()):
                value = str(variable.get("value", "")).replace("$$", "")
                for name in re.findall(r"\$\(([^)]+)\)", value):
                    if name not in seen:
                        yield pod, f"{variable['name']} uses $({name}) before it is set"
                seen.add(variable["name"])


def namespaced(bundle: Bundle) -> Found:
    """What names no namespace lands in whichever is the current one."""
    cluster_wide = {
        "Namespace", "ClusterRole", "ClusterRoleBinding", "PriorityClass", "ResourceFlavor",
        "ClusterQueue", "Topology", "Kustomization", "CustomResourceDefinition",
    }  # fmt: skip
    for o in bundle.objects:
        if o.get("kind") not in cluster_wide and not o.get("metadata", {}).get("namespace"):
            yield o, "metadata.namespace is missing"


def names_fit(bundle: Bundle) -> Found:
    """A pod's host name is NAME-INDEX, a label of 63 characters at the most."""
    for pod in bundle.pods():
        name = pod.owner.get("metadata", {}).get("name", "")
        longest = NAME_LENGTH if pod.kind == "Job" else LABEL_LENGTH - 11
        if len(name) > longest:
            yield pod, f"the name is longer than {longest}: host names would not fit"


def finished_jobs_go(bundle: Bundle) -> Found:
    """Finished jobs otherwise stay until someone deletes them."""
    for o in bundle.of_kind("Job", "JobSet"):
        if "ttlSecondsAfterFinished" not in (o.get("spec") or {}):
            yield o, "ttlSecondsAfterFinished is not set"


def disruption_budgets(bundle: Bundle) -> Found:
    """More than one replica, yet a drain may take all of them at once."""
    budgets = [
        ((o.get("spec") or {}).get("selector") or {}).get("matchLabels") or {}
        for o in bundle.of_kind("PodDisruptionBudget")
    ]
    for pod in bundle.pods():
        many = (pod.owner.get("spec") or {}).get("replicas", 1) > 1
        if pod.kind in SERVERS and many and not any(_covers(b, pod) for b in budgets):
            yield pod, "has several replicas and no PodDisruptionBudget"


def kept_apart(bundle: Bundle) -> Found:
    """Replicas on one node go with that node, all at once."""
    for pod in bundle.pods():
        many = (pod.owner.get("spec") or {}).get("replicas", 1) > 1
        if pod.kind in SERVERS and many and "podAntiAffinity" not in pod.spec.get("affinity", {}):
            yield pod, "has several replicas and no podAntiAffinity"


def _covers(selector: dict[str, str], pod: Pod) -> bool:
    return bool(selector) and selector.items() <= pod.labels.items()


RULES = (
    Rule("latest-tag", image_by_digest),
    Rule("unset-resource-requirements", resources),
    Rule("container-ephemeral-storage-request-and-limit", ephemeral_storage),
    Rule("shared-memory-below-limit", shared_memory_fits),
    Rule("no-readiness-probe", probes),
    Rule("dangling-volume", volumes_exist),
    Rule("duplicate-env-var", no_variable_twice),
    Rule("env-reference-order", references_point_back),
    Rule("use-namespace", namespaced),
    Rule("host-name-length", names_fit),
    Rule("job-ttl-seconds-after-finished", finished_jobs_go),
    Rule("deployment-has-poddisruptionbudget", disruption_budgets),
    Rule("no-anti-affinity", kept_apart),
)
