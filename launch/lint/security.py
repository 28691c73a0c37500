"""Pod Security's `restricted` level, as the admission controller would judge it, and beyond.

Source of the level: "Pod Security Standards" of the Kubernetes documentation.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from launch.lint.rule import Bundle, Found, Object, Pod, Rule

VOLUME_KINDS = {
    "configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim",
    "projected", "secret",
}  # fmt: skip
SAFE_SYSCTLS = {
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.ping_group_range",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
}
LOWEST_USER = 10_000  # below it, a number may belong to a user of the node
_SECRET_WORDS = re.compile(r"secret|passw|token|api_?key|access_?key|private_?key|credential", re.I)


def restricted(bundle: Bundle) -> Found:
    """Everything that Pod Security's `restricted` level would refuse."""
    for pod in bundle.pods():
        for message in (*_pod_level(pod.spec), *_container_level(pod)):
            yield pod, message


def _pod_level(spec: Object) -> Iterator[str]:
    for key in ("hostNetwork", "hostPID", "hostIPC"):
        if spec.get(key):
            yield f"{key} shares the node's; take it away"
    for volume in spec.get("volumes", ()):
        kinds = set(volume) - {"name"}
        if not kinds <= VOLUME_KINDS:
            yield f"volume {volume.get('name')} is of kind {', '.join(sorted(kinds))}"
    for sysctl in (spec.get("securityContext") or {}).get("sysctls", ()):
        if sysctl.get("name") not in SAFE_SYSCTLS:
            yield f"sysctl {sysctl.get('name')} is not a safe one"


def _container_level(pod: Pod) -> Iterator[str]:
    of_pod = pod.spec.get("securityContext") or {}
    for container in pod.containers():
        name = container.get("name")
        own = container.get("securityContext") or {}
        both: dict[str, Any] = {**of_pod, **own}
        if own.get("privileged"):
            yield f"{name} is privileged"
        if own.get("allowPrivilegeEscalation") is not False:
            yield f"{name}: allowPrivilegeEscalation is not false"
        if both.get("runAsNonRoot") is not True:
            yield f"{name}: runAsNonRoot is not true"
        if both.get("runAsUser") == 0:
            yield f"{name} runs as user 0"
        profile = (both.get("seccompProfile") or {}).get("type")
        if profile not in ("RuntimeDefault", "Localhost"):
            yield f"{name}: seccompProfile is {profile or 'not set'}; RuntimeDefault"
        capabilities = own.get("capabilities") or {}
        if "ALL" not in capabilities.get("drop", ()):
            yield f"{name} does not drop ALL capabilities"
        extra = set(capabilities.get("add", ())) - {"NET_BIND_SERVICE"}
        if extra:
            yield f"{name} adds capabilities {', '.join(sorted(extra))}"
        if own.get("procMount", "Default") != "Default":
            yield f"{name}: procMount is {own['procMount']}"
        for port in container.get("ports", ()):
            if port.get("hostPort"):
                yield f"{name} takes port {port['hostPort']} of the node"


def read_only_root(bundle: Bundle) -> Found:
    """A writable root keeps what an intruder leaves there."""
    for pod in bundle.pods():
        for container in pod.containers():
            context = container.get("securityContext") or {}
            if context.get("readOnlyRootFilesystem") is not True:
                yield pod, f"{container.get('name')}: readOnlyRootFilesystem is not true"


def high_user_id(bundle: Bundle) -> Found:
    """A low number may be some user's of the node."""
    for pod in bundle.pods():
        user = (pod.spec.get("securityContext") or {}).get("runAsUser")
        if user is None or user < LOWEST_USER:
            yield pod, f"runAsUser is {user}; {LOWEST_USER} at least"


def no_token(bundle: Bundle) -> Found:
    """Training needs nothing of the API server."""
    for pod in bundle.pods():
        if pod.spec.get("automountServiceAccountToken") is not False:
            yield pod, "automountServiceAccountToken is not false"


def own_service_account(bundle: Bundle) -> Found:
    """`default` is everyone's: what it is granted, every pod of the namespace has."""
    for pod in bundle.pods():
        if pod.spec.get("serviceAccountName", "default") == "default":
            yield pod, "serviceAccountName is `default`; give the workload its own"


def no_secret_in_environment(bundle: Bundle) -> Found:
    """A value in a manifest is read by whoever may read manifests."""
    for pod in bundle.pods():
        for container in pod.containers():
            for variable in container.get("env", ()):
                if _SECRET_WORDS.search(variable.get("name", "")) and variable.get("value"):
                    yield pod, f"{variable['name']} stands in the manifest; use secretKeyRef"


def no_key_file(bundle: Bundle) -> Found:
    """Workload Identity gives short-lived tokens; a key file is for ever."""
    for pod in bundle.pods():
        for container in pod.containers():
            for variable in container.get("env", ()):
                if variable.get("name") == "GOOGLE_APPLICATION_CREDENTIALS":
                    yield pod, "a service account's key file is mounted; use Workload Identity"


def modest_roles(bundle: Bundle) -> Found:
    """Nobody needs everything."""
    for role in bundle.of_kind("Role", "ClusterRole"):
        for rule in role.get("rules") or ():
            if any("*" in rule.get(key, ()) for key in ("verbs", "resources", "apiGroups")):
                yield role, "a wildcard in a rule; name what is needed"
            if "secrets" in rule.get("resources", ()):
                yield role, "may read secrets; name them as environment variables instead"


RULES = (
    Rule("pod-security-restricted", restricted, can_be_silenced=False),
    Rule("no-read-only-root-fs", read_only_root),
    Rule("container-security-context-user-group-id", high_user_id),
    Rule("automount-service-account-token", no_token),
    Rule("default-service-account", own_service_account),
    Rule("env-var-secret", no_secret_in_environment),
    Rule("no-key-file", no_key_file),
    Rule("wildcard-in-rules", modest_roles),
)
