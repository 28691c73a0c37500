"""A stand-in for the scheduler and the kubelet: gives every pod a node and sets its status.

A pod runs as soon as it is made, writes what the test says, and ends when and as the test says;
told to end (deleted), it ends with `on_sigterm`. The API server fetches logs here, as it would
from a node.
"""

from __future__ import annotations

import dataclasses
import datetime
import http.server
import re
import ssl
import threading
import time
import urllib.parse
from collections.abc import Callable

from tests.kubernetes.cluster import ControlPlane, Object, Refused

NODE, PORT = "node-0", 10250
POLL_SECONDS = 0.1
SAVED = 75


@dataclasses.dataclass(frozen=True)
class End:
    """How a container ended."""

    code: int
    message: str = ""
    reason: str = "Error"


class Kubelet:
    """Of the one node; `starts` says which pods may run."""

    def __init__(self, cluster: ControlPlane) -> None:
        self._cluster = cluster
        self._over = threading.Event()
        self._lines: dict[str, list[tuple[str, str]]] = {}  # pod -> (time, line)
        self._written = threading.Condition()
        self._ended: set[str] = set()  # uids
        self.on_sigterm = End(SAVED, "saved")
        self.starts: Callable[[Object], bool] = lambda pod: True
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", PORT), self._handler())
        self._server.daemon_threads = True
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(cluster.certificate, cluster.key)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)

    def start(self) -> None:
        """Registers the node and begins."""
        node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": NODE}}
        self._cluster.call("POST", "/api/v1/nodes", node)
        size = {"cpu": "64", "memory": "512Gi", "ephemeral-storage": "1Ti", "pods": "500"}
        status = {
            "capacity": size,
            "allocatable": size,
            "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": PORT}},
            "conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady",
                            "message": "", "lastHeartbeatTime": now(),
                            "lastTransitionTime": now()}],
        }  # fmt: skip
        self._patch_status(f"/api/v1/nodes/{NODE}", status)
        for work in (self._server.serve_forever, self._run):
            threading.Thread(target=work, daemon=True).start()

    def stop(self) -> None:
        """Ends both threads."""
        self._over.set()
        self._server.shutdown()

    def write(self, pod: Object, *lines: str) -> None:
        """What a container writes."""
        with self._written:
            kept = self._lines.setdefault(pod["metadata"]["name"], [])
            kept += [(now(fine=True), line) for line in lines]
            self._written.notify_all()

    def end(self, pod: Object, end: End) -> None:
        """Its container ends."""
        metadata, status = pod["metadata"], pod.get("status") or {}
        began = [c.get("state", {}).get("running") for c in status.get("containerStatuses") or ()]
        ready = {"type": "Ready", "status": "False", "reason": "PodFailed"}
        ended = {"exitCode": end.code, "finishedAt": now(), "message": end.message,
                 "startedAt": (began[0] if began and began[0] else {}).get("startedAt", now()),
                 "reason": end.reason if end.code else "Completed"}  # fmt: skip
        self._patch_status(_path(pod), {
            "phase": "Failed" if end.code else "Succeeded",
            "conditions": [ready],
            "containerStatuses": [_container(pod, {"terminated": ended}, ready=False)],
        })  # fmt: skip
        with self._written:
            self._ended.add(metadata["uid"])
            self._written.notify_all()

    def disrupt(self, pod: Object) -> None:
        """As a drain does: the pod is marked and deleted by an eviction."""
        eviction = {"apiVersion": "policy/v1", "kind": "Eviction",
                    "metadata": {"name": pod["metadata"]["name"]}}  # fmt: skip
        self._cluster.call("POST", f"{_path(pod)}/eviction", eviction)

    def _run(self) -> None:
        while not self._over.wait(POLL_SECONDS):
            try:
                pods = self._cluster.call("GET", "/api/v1/pods")["items"]
            except (OSError, Refused):
                continue  # an outage that a test makes
            for pod in pods:
                try:
                    self._sync(pod)
                except (OSError, Refused):
                    continue  # it changed meanwhile, or an outage

    def _sync(self, pod: Object) -> None:
        metadata, phase = pod["metadata"], (pod.get("status") or {}).get("phase")
        if not pod["spec"].get("nodeName"):
            if "deletionTimestamp" not in metadata and self.starts(pod):
                target = {"apiVersion": "v1", "kind": "Node", "name": NODE}
                binding = {"apiVersion": "v1", "kind": "Binding", "target": target,
                           "metadata": {"name": metadata["name"]}}  # fmt: skip
                self._cluster.call("POST", f"{_path(pod)}/binding", binding)
            return
        if "deletionTimestamp" in metadata:
            if phase not in ("Failed", "Succeeded"):
                self.end(pod, self.on_sigterm)
            options = {"apiVersion": "v1", "kind": "DeleteOptions", "gracePeriodSeconds": 0,
                       "preconditions": {"uid": metadata["uid"]}}  # fmt: skip
            if metadata.get("deletionGracePeriodSeconds") != 0:
                self._cluster.call("DELETE", _path(pod), options)
            return
        if phase == "Pending":
            running = {"running": {"startedAt": now()}}
            self._patch_status(_path(pod), {
                "phase": "Running",
                "startTime": now(),
                "hostIP": "127.0.0.1",
                "podIP": "192.0.2.10",
                "podIPs": [{"ip": "192.0.2.10"}],
                "conditions": [{"type": "Ready", "status": "True"}],
                "containerStatuses": [_container(pod, running, ready=True)],
            })  # fmt: skip

    def _patch_status(self, path: str, status: Object) -> None:
        kind = "application/strategic-merge-patch+json"
        self._cluster.call("PATCH", f"{path}/status", {"status": status}, kind)

    def _log(self, pod: str, uid_ended: Callable[[], bool], query: dict[str, list[str]],
             write: Callable[[bytes], object]) -> None:  # fmt: skip
        since = query.get("sinceTime", [""])[0]
        sent = 0
        while True:
            with self._written:
                lines = self._lines.get(pod, [])[sent:]
                if not lines and not uid_ended() and "follow" in query:
                    self._written.wait(0.5)
                    continue
            sent += len(lines)
            for when, line in lines:
                if when[:19] >= since[:19]:  # by the second
                    write(f"{when} {line}\n".encode())
            if "follow" not in query or (uid_ended() and not lines):
                return

    def _handler(self) -> type[http.server.BaseHTTPRequestHandler]:
        kubelet = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def log_message(self, *arguments: object) -> None:
                del arguments

            def do_GET(self) -> None:
                url = urllib.parse.urlsplit(self.path)
                match = re.fullmatch(r"/containerLogs/([^/]+)/([^/]+)/[^/]+", url.path)
                if not match:
                    self.send_error(404)
                    return
                self.send_response(200)
                self.end_headers()  # HTTP/1.0: the end of the log is that of the connection

                def write(data: bytes) -> None:
                    self.wfile.write(data)
                    self.wfile.flush()

                kubelet._log(match[2], lambda: kubelet._is_over(match[1], match[2]),
                             urllib.parse.parse_qs(url.query), write)  # fmt: skip

        return Handler

    def _is_over(self, namespace: str, name: str) -> bool:
        try:
            pod = self._cluster.call("GET", f"/api/v1/namespaces/{namespace}/pods/{name}")
        except Refused:
            return True
        except OSError:
            return False
        return pod["metadata"]["uid"] in self._ended


def now(fine: bool = False) -> str:
    """As the API writes times; `fine`: as a container's log has them."""
    time.sleep(1e-6 if fine else 0)  # no two lines have one time
    moment = datetime.datetime.now(datetime.UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%f000Z" if fine else "%Y-%m-%dT%H:%M:%SZ")


def _container(pod: Object, state: Object, ready: bool) -> Object:
    [container] = pod["spec"]["containers"]
    return {"name": container["name"], "image": container["image"], "imageID": "", "ready": ready,
            "restartCount": 0, "state": state}  # fmt: skip


def _path(pod: Object) -> str:
    metadata = pod["metadata"]
    return f"/api/v1/namespaces/{metadata['namespace']}/pods/{metadata['name']}"
