"""A stand-in for Google Cloud Storage: the emulator from PyPI, with what it lacks added.

Added here, as the storage's documentation describes it: `ifGenerationMatch` (the emulator takes
no notice of it), pages of a listing, 416 for a range behind the end, the sentence about a missing
bucket, faults on demand, and threads. What is tested of these is our side of them, not Google's.
"""

from __future__ import annotations

import contextlib
import io
import json
import logging
import re
import socket
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http import HTTPStatus
from http.server import ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlparse

from gcp_storage_emulator.handlers.buckets import create_bucket
from gcp_storage_emulator.server import RequestHandler
from gcp_storage_emulator.storage import Storage

PAGE = 50  # objects of a listing; 1,000 at Google


class _Memory(Storage):
    def _write_config_to_file(self) -> None:
        """Not a file of all there is at every write."""


class Cloud:
    """An emulator on a free port. `fault(method, path)` may answer a status for a request."""

    def __init__(self) -> None:
        logging.getLogger("gcp_storage_emulator").setLevel(logging.CRITICAL)
        logging.getLogger("api.object").setLevel(logging.CRITICAL)
        self.storage = _Memory(use_memory_fs=True)
        self.fault: Callable[[str, str], tuple[int, str] | None] = lambda method, path: None
        self.requests: list[tuple[str, str]] = []
        self._server = _Server(("127.0.0.1", 0), partial(_Handler, self))
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        # One at a time: the emulator was not written for threads, and a precondition has to be
        # looked at in one go with what depends on it.
        self.busy = threading.RLock()

    @property
    def port(self) -> int:
        return self._server.server_address[1]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def bucket(self, name: str) -> str:
        """Makes a bucket; gs://NAME."""
        with self.busy:
            create_bucket(name, self.storage)
            self.storage.buckets[name]["softDeletePolicy"] = {"retentionDurationSeconds": "0"}
        return f"gs://{name}"

    def objects(self, path: str) -> dict[str, bytes]:
        """Content of every object below gs://BUCKET/PREFIX, by its relative name."""
        bucket, _, prefix = path.removeprefix("gs://").partition("/")
        prefix = f"{prefix}/" if prefix else ""
        with self.busy:
            return {
                name[len(prefix) :]: self.storage.get_file(bucket, name)
                for name in self.storage.objects.get(bucket, {})
                if name.startswith(prefix)
            }

    def generations(self, bucket: str) -> dict[str, str]:
        with self.busy:
            return {n: o["generation"] for n, o in self.storage.objects.get(bucket, {}).items()}

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Connections are cut here on purpose."""


class _Handler(RequestHandler):
    """One request; `cloud` comes first by `partial`."""

    protocol_version = "HTTP/1.1"  # connections are kept, as Google keeps them
    disable_nagle_algorithm = True  # head and body are sent apart: 40 ms of waiting otherwise

    def __init__(self, cloud: Cloud, *arguments: Any) -> None:
        self.cloud = cloud
        super().__init__(cloud.storage, *arguments)

    def _answer(self, serve: Callable[[], None]) -> None:
        url = urlparse(self.path)
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        path = unquote(url.path)
        connection = self.rfile
        body = connection.read(int(self.headers.get("Content-Length") or 0))
        self.rfile = io.BytesIO(body)  # the emulator reads it again
        try:
            self._route(serve, path, {**_named(body), **query})
        finally:
            self.rfile = connection

    def _route(self, serve: Callable[[], None], path: str, query: dict[str, str]) -> None:
        self.cloud.requests.append((self.command, self.path))
        if fault := self.cloud.fault(self.command, self.path):
            self._refuse(*fault)
            return
        with self.cloud.busy:
            bucket, name = _target(path, query)
            if bucket and bucket not in self.cloud.storage.buckets:
                self._refuse(404, "The specified bucket does not exist.")
            elif not self._generation_matches(bucket, name, query):
                self._refuse(412, "At least one of the pre-conditions did not hold.")
            elif self._range_starts_behind(bucket, name):
                self._refuse(416, "Requested range not satisfiable")
            elif self.command == "GET" and path.endswith("/o"):
                self._list(bucket, query)
            else:
                serve()

    def _generation_matches(self, bucket: str, name: str, query: dict[str, str]) -> bool:
        wanted = query.get("ifGenerationMatch")
        exact = query.get("generation")
        now = self.cloud.storage.objects.get(bucket, {}).get(name, {}).get("generation", "0")
        if wanted is not None and wanted != now:
            return False
        return exact is None or exact == now

    def _range_starts_behind(self, bucket: str, name: str) -> bool:
        start = self.headers.get("Range", "").removeprefix("bytes=").partition("-")[0]
        known = self.cloud.storage.objects.get(bucket, {}).get(name)
        return bool(start) and known is not None and int(start) >= int(known["size"])

    def _list(self, bucket: str, query: dict[str, str]) -> None:
        files, prefixes = self.cloud.storage.get_file_list(
            bucket, query.get("prefix"), query.get("delimiter")
        )
        size = min(int(query.get("maxResults", PAGE)), PAGE)
        first = int(query.get("pageToken", 0))
        page: dict[str, Any] = {"items": files[first : first + size], "prefixes": prefixes}
        if first + size < len(files):
            page["nextPageToken"] = str(first + size)
        self._write(200, page)

    def _refuse(self, status: int, message: str) -> None:
        self._write(status, {"error": {"code": status, "message": message}})

    def _write(self, status: int, value: dict[str, Any]) -> None:
        body = json.dumps(value).encode()
        self.send_response(status, HTTPStatus(status).phrase)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self) -> None:
        self._answer(super().do_GET)

    def do_POST(self) -> None:
        self._answer(super().do_POST)

    def do_PUT(self) -> None:
        self._answer(super().do_PUT)

    def do_DELETE(self) -> None:
        self._answer(super().do_DELETE)


def _target(path: str, query: dict[str, str]) -> tuple[str, str]:
    """Bucket and object that a request is about."""
    _, found, rest = path.partition("/b/")
    bucket, _, name = rest.partition("/o/")
    return (bucket.removesuffix("/o") if found else ""), name or query.get("name", "")


def _named(body: bytes) -> dict[str, str]:
    """The object that an upload names in its first part, as JSON."""
    found = re.search(rb'\{"[^\r\n]*\}', body[:2000])
    with contextlib.suppress(ValueError, KeyError, TypeError):
        return {"name": json.loads(found[0])["name"]} if found else {}
    return {}


# In a request for the content of an object, or with it.
CONTENT = (b"alt=media", b"/upload/", b"/download/")


class Cutter:
    """A TCP proxy that cuts a connection after so many bytes of an answer or a request.

    Args:
      port: where to pass on to.
      allowances: bytes that may pass, one number a connection that carries an object, from server
        to client (`down`) or from client to server (`up`), counted from the request for its
        content; those beyond the list are left alone.
    """

    def __init__(self, port: int, down: list[int] | None = None, up: list[int] | None = None):
        self.cuts = 0
        self._down, self._up = list(down or []), list(up or [])
        self._to = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._to))
                ways = ((client, server, self._up), (server, client, self._down))
                carries = threading.Event()
                for way in ways:
                    threading.Thread(target=self._pass, args=(*way, carries), daemon=True).start()

    def _pass(
        self,
        source: socket.socket,
        target: socket.socket,
        allowances: list[int],
        carries: threading.Event,
    ) -> None:
        left = None
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 14):
                # Some clients look objects up on a connection, and fetch them on another one.
                if any(mark in data for mark in CONTENT):
                    carries.set()
                if left is None and carries.is_set() and allowances:
                    left = allowances.pop(0)
                if left is not None:
                    data, left = data[:left], left - len(data)
                target.sendall(data)
                if left is not None and left <= 0:
                    self.cuts += 1
                    break
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def stop(self) -> None:
        self._listener.close()


@contextlib.contextmanager
def cutting(cloud: Cloud, **allowances: list[int]) -> Iterator[Cutter]:
    cutter = Cutter(cloud.port, **allowances)
    try:
        yield cutter
    finally:
        cutter.stop()
