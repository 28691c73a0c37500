"""The Kubernetes API with plain objects, through the official client; retries transient errors.

Paths are derived from an object's kind, so rendered objects are sent unchanged. Credentials are
left to the client (kubeconfig, or the pod's service account).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from launch.backends.kube_request import (
    REQUEST_SECONDS,
    TRIES,
    ClusterError,
    Conflict,
    Forbidden,
    Missing,
    NoCluster,
    Object,
    Requests,
)

SILENCE_SECONDS = 300.0  # of a followed log, before the connection is renewed

# Kind -> (API path, plural).
KINDS = {
    "Job": ("apis/batch/v1", "jobs"),
    "JobSet": ("apis/jobset.x-k8s.io/v1alpha2", "jobsets"),
    "Service": ("api/v1", "services"),
    "ConfigMap": ("api/v1", "configmaps"),
    "Pod": ("api/v1", "pods"),
    "Event": ("api/v1", "events"),
    "Deployment": ("apis/apps/v1", "deployments"),
    "NetworkPolicy": ("apis/networking.k8s.io/v1", "networkpolicies"),
    "FlinkDeployment": ("apis/flink.apache.org/v1beta1", "flinkdeployments"),
    "LocalQueue": ("apis/kueue.x-k8s.io/v1beta2", "localqueues"),
    "Workload": ("apis/kueue.x-k8s.io/v1beta2", "workloads"),
    "ServiceAccount": ("api/v1", "serviceaccounts"),
    "Secret": ("api/v1", "secrets"),
    "ResourceQuota": ("api/v1", "resourcequotas"),
    "Namespace": ("api/v1", "namespaces"),
    "Node": ("api/v1", "nodes"),
    "PersistentVolumeClaim": ("api/v1", "persistentvolumeclaims"),
    "PriorityClass": ("apis/scheduling.k8s.io/v1", "priorityclasses"),
}
# API path of a kind -> the path in clusters that do not serve it yet.
OLDER = {"apis/kueue.x-k8s.io/v1beta2": "apis/kueue.x-k8s.io/v1beta1"}
CLUSTER_WIDE = ("Namespace", "Node", "PriorityClass")


class Api:
    """Creates, reads, patches and deletes objects of one namespace."""

    def __init__(
        self,
        namespace: str,
        sleep: Callable[[float], None] = time.sleep,
        tries: int = TRIES,
        seconds: float = REQUEST_SECONDS,
    ) -> None:
        """Reads the kubeconfig; raises ClusterError if there is none."""
        self.namespace = namespace
        self._requests = Requests(sleep, tries, seconds)
        self._versions: dict[str, str] = {}  # of OLDER, those that the cluster serves

    def create(self, o: Object, dry_run: bool = False) -> Object:
        """Creates an object, or only has the server validate it; raises Conflict if its name is in
        use.
        """
        query = [("dryRun", "All")] if dry_run else []
        return self._requests.call("POST", self._path(o["kind"]), body=o, query=query)

    def version(self) -> tuple[int, int]:
        """The API server's major and minor version."""
        found = self._requests.call("GET", "/version")
        return int(found["major"]), int(str(found["minor"]).rstrip("+"))

    def serves(self, kind: str) -> bool:
        """Whether the cluster has a kind; kinds other than the built-in ones have to be
        installed.
        """
        api, plural = KINDS[kind]
        for version in (api, OLDER.get(api)):
            try:
                found = self._requests.call("GET", f"/{version}") if version else {}
            except Missing:
                continue
            return any(resource.get("name") == plural for resource in found.get("resources") or ())
        return False

    def get(self, kind: str, name: str) -> Object:
        """One object; raises Missing."""
        return self._requests.call("GET", self._path(kind, name))

    def find(
        self, kind: str, labels: dict[str, str] | None = None, fields: str = ""
    ) -> list[Object]:
        """Objects of a kind that have some labels."""
        query = []
        if labels:
            query.append(("labelSelector", ",".join(f"{k}={v}" for k, v in labels.items())))
        if fields:
            query.append(("fieldSelector", fields))
        return list(self._requests.call("GET", self._path(kind), query=query).get("items", []))

    def patch(self, kind: str, name: str, change: Object) -> Object:
        """Merges a change into an object; raises Missing."""
        return self._requests.call("PATCH", self._path(kind, name), body=change)

    def delete(self, kind: str, name: str, uid: str = "") -> None:
        """Deletes an object and everything it owns; does nothing if it is already gone.

        Args:
          kind: see KINDS.
          name: of the object.
          uid: if given, deletes only the object with this uid, and not a successor.
        """
        options: Object = {"propagationPolicy": "Background"}
        if uid:
            options["preconditions"] = {"uid": uid}
        try:
            self._requests.call("DELETE", self._path(kind, name), body=options)
        except Missing:
            return
        except Conflict:  # another object has the name already
            if not uid:
                raise

    def log(
        self, pod: str, container: str, *, follow: bool, since: str = "", tail: int = 0
    ) -> Iterator[bytes]:
        """Pieces of a container's log, each line prefixed with its time: from a time on, or the
        last `tail` lines.

        Ends when the connection is dropped, or silent for SILENCE_SECONDS.

        Raises:
          Missing: there is no such pod.
          ClusterError: the server does not respond, or drops a log that is not followed.
        """
        from urllib3.exceptions import HTTPError

        query = [("container", container), ("timestamps", "true")]
        if follow:
            query.append(("follow", "true"))
        if since:
            query.append(("sinceTime", since))
        if tail:
            query.append(("tailLines", str(tail)))
        path = f"{self._path('Pod', pod)}/log"
        seconds = SILENCE_SECONDS if follow else self._requests.seconds
        response = self._requests.call("GET", path, query=query, raw_seconds=seconds)
        try:
            yield from response.stream(2**14, decode_content=False)
        except HTTPError as error:
            if not follow:
                raise ClusterError(f"the log of {pod} was cut off: {error}", passing=True) from None
        finally:
            response.release_conn()

    def _path(self, kind: str, name: str = "") -> str:
        api, plural = KINDS[kind]
        if api in OLDER:
            api = self._served(api)
        where = "" if kind in CLUSTER_WIDE else f"namespaces/{self.namespace}/"
        return f"/{api}/{where}{plural}" + (f"/{name}" if name else "")

    def _served(self, api: str) -> str:
        """The newest version of an API that the cluster has; asked once."""
        if api not in self._versions:
            try:
                self._requests.call("GET", f"/{api}")
                self._versions[api] = api
            except Missing:
                self._versions[api] = OLDER[api]
        return self._versions[api]


__all__ = [
    "Api",
    "ClusterError",
    "Conflict",
    "Forbidden",
    "Missing",
    "NoCluster",
    "Object",
]
