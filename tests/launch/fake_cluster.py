"""An API server of the tests' own: stores objects, answers as told, and notes every request.

It knows no schema and runs no pods: the tests say how runs and pods are.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import yaml

from launch.render.pod import CONTAINER

LISTED = ("pods", "events", "nodes", "localqueues", "resourcequotas", "jobs", "jobsets",
          "deployments")  # fmt: skip


class FakeCluster:
    """Objects by path; `failures` are answers that come before the real one."""

    def __init__(self) -> None:
        self.objects: dict[str, dict[str, Any]] = {}
        self.requests: list[tuple[str, str]] = []
        self.failures: list[tuple[int, dict[str, str]]] = []
        self.denied: dict[str, str] = {}  # kind -> what admission says against it
        # Pod, or POD/CONTAINER for another one than the trainer -> what each request for its log
        # gives.
        self.logs: dict[str, list[bytes]] = {}
        self._number = itertools.count(1)
        cluster = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *arguments: object) -> None:
                del arguments

            def do_GET(self) -> None:
                cluster.answer(self, "GET")

            def do_POST(self) -> None:
                cluster.answer(self, "POST")

            def do_PATCH(self) -> None:
                cluster.answer(self, "PATCH")

            def do_DELETE(self) -> None:
                cluster.answer(self, "DELETE")

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.address = f"http://127.0.0.1:{self._server.server_address[1]}"

    @contextlib.contextmanager
    def running(self) -> Iterator[FakeCluster]:
        thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            self._server.server_close()
            thread.join()

    def kubeconfig(self, path: Path) -> Path:
        """A file that leads here."""
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "fake",
            "clusters": [{"name": "fake", "cluster": {"server": self.address}}],
            "contexts": [{"name": "fake", "context": {"cluster": "fake", "user": "fake"}}],
            "users": [{"name": "fake", "user": {}}],
        }
        path.write_text(yaml.safe_dump(config), encoding="utf-8")
        return path

    def put(self, path: str, o: dict[str, Any]) -> None:
        """Puts an object there."""
        o.setdefault("metadata", {}).setdefault("uid", f"uid-{next(self._number)}")
        self.objects[path] = o

    def written(self) -> list[tuple[str, str]]:
        """Requests that change something, in order."""
        return [request for request in self.requests if request[0] != "GET"]

    def answer(self, handler: BaseHTTPRequestHandler, method: str) -> None:
        length = int(handler.headers.get("Content-Length") or 0)
        body = json.loads(handler.rfile.read(length)) if length else {}
        url = urlsplit(handler.path)
        self.requests.append((method, url.path))
        if self.failures:
            code, headers = self.failures.pop(0)
            if code == 0:  # the connection is cut
                handler.close_connection = True
                handler.connection.close()
                return
            _send(handler, code, {"message": f"told to answer {code}"}, headers)
            return
        if url.path.endswith("/log"):
            pod, container = url.path.split("/")[-2], parse_qs(url.query)["container"][0]
            pieces = self.logs[pod if container == CONTAINER else f"{pod}/{container}"]
            data = pieces.pop(0) if pieces else b""
            last = int(parse_qs(url.query).get("tailLines", ["0"])[0])
            data = b"".join(data.splitlines(keepends=True)[-last:])
            handler.send_response(200)
            handler.send_header("Content-Length", str(len(data)))
            handler.end_headers()
            handler.wfile.write(data)
            return
        _send(handler, *self._act(method, url.path, parse_qs(url.query), body))

    def _act(
        self, method: str, path: str, query: dict[str, list[str]], body: dict[str, Any]
    ) -> tuple[int, dict[str, Any]]:
        if method == "POST":
            path = f"{path}/{body['metadata']['name']}"
            if path in self.objects:
                return 409, {"message": "already exists"}
            if query.get("dryRun") == ["All"]:
                denied = self.denied.get(body["kind"])
                return (403, {"message": denied}) if denied else (201, body)
            self.put(path, body)
            return 201, body
        if method == "GET" and path.rsplit("/", 1)[-1] in LISTED:
            wanted = query.get("labelSelector", [""])[0]
            pairs = dict(pair.split("=") for pair in wanted.split(",") if pair)
            found = [
                o
                for where, o in self.objects.items()
                if where.rsplit("/", 1)[0] == path
                and pairs.items() <= (o["metadata"].get("labels") or {}).items()
            ]
            return 200, {"items": found}
        if path not in self.objects:
            return 404, {"message": "not found"}
        if method == "PATCH":
            _merge(self.objects[path], body)
        if method == "DELETE":
            return 200, self.objects.pop(path)
        return 200, self.objects[path]


def _merge(o: dict[str, Any], change: dict[str, Any]) -> None:
    for name, value in change.items():
        if isinstance(value, dict):
            _merge(o.setdefault(name, {}), value)
        else:
            o[name] = value


def _send(
    handler: BaseHTTPRequestHandler,
    code: int,
    body: dict[str, Any],
    headers: dict[str, str] | None = None,
) -> None:
    data = json.dumps(body).encode()
    handler.send_response(code)
    for name, value in (headers or {}).items():
        handler.send_header(name, value)
    handler.send_header("Content-Type", "application/json")
    handler.send_header("Content-Length", str(len(data)))
    handler.end_headers()
    handler.wfile.write(data)
