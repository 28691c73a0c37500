"""The Kubernetes API by plain objects, through the official client; it retries what may pass.

Paths are built from an object's kind: what is rendered is what is sent. Credentials are the
client's own business (kubeconfig, or the pod's service account).
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from trainer.errors import UserError

Object = dict[str, Any]

TRIES = 6
FIRST_WAIT_SECONDS = 0.5
LONGEST_WAIT_SECONDS = 20.0
REQUEST_SECONDS = 30.0

# Kind -> (API path, plural).
KINDS = {
    "Job": ("apis/batch/v1", "jobs"),
    "JobSet": ("apis/jobset.x-k8s.io/v1alpha2", "jobsets"),
    "Service": ("api/v1", "services"),
    "ConfigMap": ("api/v1", "configmaps"),
    "Pod": ("api/v1", "pods"),
    "Event": ("api/v1", "events"),
    "Deployment": ("apis/apps/v1", "deployments"),
    "StatefulSet": ("apis/apps/v1", "statefulsets"),
    "NetworkPolicy": ("apis/networking.k8s.io/v1", "networkpolicies"),
    "PodDisruptionBudget": ("apis/policy/v1", "poddisruptionbudgets"),
    "HorizontalPodAutoscaler": ("apis/autoscaling/v2", "horizontalpodautoscalers"),
    "FlinkDeployment": ("apis/flink.apache.org/v1beta1", "flinkdeployments"),
    "LocalQueue": ("apis/kueue.x-k8s.io/v1beta1", "localqueues"),
    "Workload": ("apis/kueue.x-k8s.io/v1beta1", "workloads"),
    "ServiceAccount": ("api/v1", "serviceaccounts"),
    "Namespace": ("api/v1", "namespaces"),
    "Node": ("api/v1", "nodes"),
    "PersistentVolumeClaim": ("api/v1", "persistentvolumeclaims"),
    "PriorityClass": ("apis/scheduling.k8s.io/v1", "priorityclasses"),
}
CLUSTER_WIDE = ("Namespace", "Node", "PriorityClass")


class ClusterError(UserError):
    """The API server cannot be reached, or refuses (69: EX_UNAVAILABLE)."""

    exit_code = 69


class Forbidden(ClusterError):
    """The API server knows no such user, or does not let him."""


class Missing(Exception):
    """There is no such object."""


class Conflict(Exception):
    """There is such an object already."""


class Api:
    """Creates, reads, patches and deletes objects of one namespace."""

    def __init__(
        self, namespace: str, sleep: Callable[[float], None] = time.sleep, tries: int = TRIES
    ) -> None:
        """Reads the kubeconfig; raises ClusterError where there is none."""
        self.namespace = namespace
        self._sleep = sleep
        self._tries = tries
        self._client = _client()

    def create(self, o: Object, dry_run: bool = False) -> Object:
        """Creates an object, or has the server judge it only; raises Conflict where its name
        is taken.
        """
        query = [("dryRun", "All")] if dry_run else []
        return self._call("POST", self._path(o["kind"]), body=o, query=query)

    def version(self) -> tuple[int, int]:
        """Of the API server: major and minor."""
        found = self._call("GET", "/version")
        return int(found["major"]), int(str(found["minor"]).rstrip("+"))

    def serves(self, kind: str) -> bool:
        """Whether the cluster has a kind: those of others come with what defines them."""
        api, plural = KINDS[kind]
        try:
            resources = self._call("GET", f"/{api}").get("resources") or ()
        except Missing:
            return False
        return any(resource.get("name") == plural for resource in resources)

    def get(self, kind: str, name: str) -> Object:
        """One object; raises Missing."""
        return self._call("GET", self._path(kind, name))

    def find(
        self, kind: str, labels: dict[str, str] | None = None, fields: str = ""
    ) -> list[Object]:
        """Objects of a kind that have some labels."""
        query = []
        if labels:
            query.append(("labelSelector", ",".join(f"{k}={v}" for k, v in labels.items())))
        if fields:
            query.append(("fieldSelector", fields))
        return list(self._call("GET", self._path(kind), query=query).get("items", []))

    def patch(self, kind: str, name: str, change: Object) -> Object:
        """Merges a change into an object; raises Missing."""
        return self._call("PATCH", self._path(kind, name), body=change)

    def delete(self, kind: str, name: str) -> None:
        """Deletes an object and all that it owns; one that is gone already is no error."""
        try:
            self._call(
                "DELETE", self._path(kind, name), query=[("propagationPolicy", "Background")]
            )
        except Missing:
            return

    def log(
        self, pod: str, container: str, *, follow: bool, previous: bool, since: str = ""
    ) -> Iterator[bytes]:
        """Pieces of a container's log, each line with its time before it; raises Missing."""
        query = [("container", container), ("timestamps", "true")]
        query += [(name, "true") for name, on in (("follow", follow), ("previous", previous)) if on]
        if since:
            query.append(("sinceTime", since))
        path = f"{self._path('Pod', pod)}/log"
        response = self._call("GET", path, query=query, raw=True)
        try:
            yield from response.stream(2**14, decode_content=False)
        finally:
            response.release_conn()

    def _path(self, kind: str, name: str = "") -> str:
        api, plural = KINDS[kind]
        where = "" if kind in CLUSTER_WIDE else f"namespaces/{self.namespace}/"
        return f"/{api}/{where}{plural}" + (f"/{name}" if name else "")

    def _call(
        self,
        method: str,
        path: str,
        body: Object | None = None,
        query: list[tuple[str, str]] | None = None,
        raw: bool = False,
    ) -> Any:
        """One request, tried again while the server is busy or gone."""
        from kubernetes.client import ApiException
        from urllib3.exceptions import HTTPError

        kind = "application/merge-patch+json" if method == "PATCH" else "application/json"
        said = ""
        for attempt in range(self._tries):
            try:
                return self._client.call_api(
                    path,
                    method,
                    query_params=query or [],
                    header_params={"Accept": "*/*" if raw else "application/json",
                                   "Content-Type": kind},
                    body=body,
                    response_type=None if raw else "object",
                    auth_settings=["BearerToken"],
                    _return_http_data_only=True,
                    _preload_content=not raw,
                    _request_timeout=None if raw else REQUEST_SECONDS,
                )  # fmt: skip
            except ApiException as error:
                if error.status == 404:
                    raise Missing(path) from None
                if error.status == 409:
                    raise Conflict(path) from None
                said = _reason(error)
                if error.status in (401, 403):
                    raise Forbidden(f"{method} {path}: {said}") from None
                if error.status != 429 and not 500 <= error.status < 600:
                    raise ClusterError(f"{method} {path}: {said}") from None
                wait = _wait(attempt, error.headers)
            except HTTPError as error:
                said, wait = str(error).splitlines()[0], _wait(attempt, None)
            if attempt + 1 < self._tries:
                self._sleep(wait)
        raise ClusterError(f"the API server does not answer ({method} {path}): {said}")


def _client() -> Any:
    from kubernetes import client, config

    # Given by hand: the client reads the variable once, at its import.
    given = os.environ.get("KUBECONFIG")
    inside = "KUBERNETES_SERVICE_HOST" in os.environ
    if not given and not inside and not (Path.home() / ".kube" / "config").exists():
        raise ClusterError("no cluster is configured: no ~/.kube/config; set KUBECONFIG")
    try:
        config.load_config(**({"config_file": given} if given else {}))
    except config.ConfigException as error:
        raise ClusterError(f"no cluster is configured ({error}); set KUBECONFIG") from None
    except Exception as error:  # the kubeconfig is the user's file, and may be anything
        raise ClusterError(f"the kubeconfig cannot be read: {error}") from None
    settings = client.Configuration.get_default_copy()
    settings.retries = False  # ours, which wait
    return client.ApiClient(settings)


def _wait(attempt: int, headers: Any) -> float:
    """Seconds before the next try: doubling, with jitter, and not below what the server asks."""
    asked = float((headers or {}).get("Retry-After") or 0)
    longest = min(LONGEST_WAIT_SECONDS, FIRST_WAIT_SECONDS * 2**attempt)
    return max(asked, random.uniform(longest / 2, longest))


def _reason(error: Any) -> str:
    import json

    try:
        return str(json.loads(error.body)["message"])
    except (TypeError, ValueError, KeyError):
        return f"{error.status} {error.reason}"
