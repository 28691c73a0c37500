"""Who may talk to whom: everything has a policy, and what names something finds it."""

from __future__ import annotations

from tests.launch.render.bundle import Bundle, Found, Object, Pod, Rule, matches


def isolated(bundle: Bundle) -> Found:
    """TensorFlow's servers have no authentication: a policy keeps strangers out."""
    policies = bundle.of_kind("NetworkPolicy")
    for pod in bundle.pods():
        if not any(_covers(policy["spec"].get("podSelector") or {}, pod) for policy in policies):
            yield pod, "no NetworkPolicy selects it"


def policies_select(bundle: Bundle) -> Found:
    """A policy that selects nothing protects nothing."""
    for policy in bundle.of_kind("NetworkPolicy"):
        selector = policy["spec"].get("podSelector") or {}
        if selector and not any(_covers(selector, pod) for pod in bundle.pods()):
            yield policy, "selects no pod of these manifests"


def services_select(bundle: Bundle) -> Found:
    """A Service finds pods, by a port that they have."""
    for service in bundle.of_kind("Service"):
        spec = service.get("spec") or {}
        pods = [p for p in bundle.pods() if matches(spec.get("selector") or {}, p.labels)]
        if not pods:
            yield service, "selects no pod of these manifests"
            continue
        for port in spec.get("ports", ()):
            target = port.get("targetPort", port.get("port"))
            if not any(target in _ports(pod) for pod in pods):
                yield service, f"port {target} is not one of its pods'"


def nothing_exposed(bundle: Bundle) -> Found:
    """No server here asks who is there: none is reached from outside the cluster."""
    for service in bundle.of_kind("Service"):
        kind = (service.get("spec") or {}).get("type", "ClusterIP")
        if kind != "ClusterIP":
            yield service, f"type {kind} opens it to others; ClusterIP and port-forward"
    for other in bundle.of_kind("Ingress", "Gateway", "HTTPRoute"):
        yield other, "opens a server without authentication to others"


def selectors_match(bundle: Bundle) -> Found:
    """A workload selects its own pods."""
    for pod in bundle.pods():
        selector = ((pod.owner.get("spec") or {}).get("selector") or {}).get("matchLabels")
        if pod.kind != "Deployment" or selector is None:
            continue
        if not matches(selector, pod.labels):
            yield pod, "its selector does not match the labels of its pods"


def _covers(selector: Object, pod: Pod) -> bool:
    """Whether a label selector matches a pod; an empty one matches all (API reference)."""
    return (selector.get("matchLabels") or {}).items() <= pod.labels.items()


def _ports(pod: Pod) -> set[object]:
    ports = [port for container in pod.containers() for port in container.get("ports", ())]
    return {port.get("name") for port in ports} | {port.get("containerPort") for port in ports}


RULES = (
    Rule("non-isolated-pod", isolated),
    Rule("dangling-networkpolicy", policies_select),
    Rule("dangling-service", services_select),
    Rule("exposed-services", nothing_exposed),
    Rule("mismatching-selector", selectors_match),
)
