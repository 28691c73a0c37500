"""A trace on demand: what is asked for, and the small HTTP server of a training that takes it.

TensorFlow's own profiler server listens on all addresses of the machine to whoever comes. This
one is off unless `profile.port` is set, listens where `profile.host` says, and takes nothing but a
POST of a few bytes with a header that no web page can send. No TensorFlow here.
"""

from __future__ import annotations

import contextlib
import dataclasses
import http.server
import ipaddress
import json
import socket
import socketserver
import sys
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Protocol

from trainer.errors import ConfigError

PATH, HEADER = "/capture", "X-Shardline-Capture"
LEAST_CALLS, MOST_CALLS = 5, 100  # fewer give no verdict; more make traces that no page opens
MOST_SECONDS = 600.0
_MOST_BYTES = 1000  # of a request
_READ_SECONDS = 10.0  # for all of a request to come in, and for each part of it
_POLL_SECONDS = 0.1  # until the server sees that it should end


@dataclasses.dataclass
class Request:
    """A trace that is asked for; `done` is set when one of the two answers is there.

    Attributes:
      calls: how many to trace.
      trace: folder of the trace.
      steps: the first and the last one in it, counted from 1.
      problem: why there is none.
    """

    calls: int
    trace: str = ""
    steps: tuple[int, int] = (0, 0)
    problem: str = ""
    done: threading.Event = dataclasses.field(default_factory=threading.Event)


class Taker(Protocol):
    """Who takes traces: looks at `request` once a call, and takes it away when it begins."""

    request: Request | None


class CaptureServer(socketserver.ThreadingMixIn, socketserver.TCPServer):
    """Answers requests for traces while it is entered; bound when it is made.

    Args:
      host: name or address to listen on.
      port: to listen on.
      taker: takes the traces.

    Raises:
      ConfigError: it cannot listen there.
    """

    allow_reuse_address = True
    daemon_threads = False  # the last answer is sent before the process ends

    def __init__(self, host: str, port: int, taker: Taker) -> None:
        self._taker = taker
        self._one_at_a_time = threading.Lock()
        self._current: Request | None = None
        self._ended = False
        self._open: dict[socket.socket, float] = {}  # until when all of a request must be in
        self._thread = threading.Thread(target=self.serve_forever, args=(_POLL_SECONDS,))
        try:
            self.address_family, address = _resolve(host, port)
            super().__init__(address, _Handler)
            self.host: str = address[0]
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise ConfigError(
                f"profile.port: cannot listen on port {port} of profile.host={host} "
                f"({reason.lower()}); take another, or 0 for none"
            ) from None

    @property
    def is_local(self) -> bool:
        """Whether only this machine reaches it."""
        return ipaddress.ip_address(self.host).is_loopback

    def take(self, calls: int, seconds: float) -> tuple[int, dict[str, Any]]:
        """Has a trace taken; HTTP status and answer."""
        if not self._one_at_a_time.acquire(blocking=False):
            return 409, {"error": "another capture is under way; try again when it is over"}
        try:
            request = self._current = Request(calls)
            if self._ended:
                return 503, {"error": "the run has ended"}
            self._taker.request = request
            if not request.done.wait(seconds):
                self._taker.request = None
                return 504, {
                    "error": f"{calls} calls did not run within {seconds:g} s: the run may be "
                    "starting, validating or saving; try again, with a longer --timeout"
                }
            if request.problem:
                return 503, {"error": request.problem}
            return 200, {"trace": request.trace, "steps": list(request.steps)}
        finally:
            self._one_at_a_time.release()

    def process_request(self, request: Any, client_address: Any) -> None:
        """Begins to read a request, in a thread of its own."""
        self._open[request] = time.monotonic() + _READ_SECONDS
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """Closes a connection."""
        self._open.pop(request, None)
        super().shutdown_request(request)

    def service_actions(self) -> None:
        """Reads late requests no further; called every _POLL_SECONDS."""
        now = time.monotonic()
        self._read_no_more([each for each, until in [*self._open.items()] if until < now])

    def _read_no_more(self, connections: list[socket.socket]) -> None:
        for connection in connections:
            with contextlib.suppress(OSError):  # it is closed by now
                # Whoever reads a request finds its end here; answers are sent as before.
                connection.shutdown(socket.SHUT_RD)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that does not wait for its answer is no fault of the run."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)

    def __enter__(self) -> CaptureServer:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ended = True
        if self._current is not None and not self._current.done.is_set():
            self._current.problem = "the run has ended"
            self._current.done.set()
        self.shutdown()
        self._thread.join()
        self._read_no_more([*self._open])
        self.server_close()  # waits for the last answer


class _Handler(http.server.BaseHTTPRequestHandler):
    server: CaptureServer
    server_version, sys_version = "Shardline", ""
    timeout = _READ_SECONDS

    def do_POST(self) -> None:
        status, answer = self._answer()
        data = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _answer(self) -> tuple[int, dict[str, Any]]:
        # A browser sends Origin with every POST, and this header to no other site.
        if self.headers.get("Origin") is not None or self.headers.get(HEADER) is None:
            return 403, {"error": f"only `trainer capture` may ask: {HEADER} is missing"}
        if self.path != PATH:
            return 404, {"error": f"there is only POST {PATH}"}
        length = self.headers.get("Content-Length", "")
        if not length.isascii() or not length.isdigit():
            return 411, {"error": "Content-Length is missing"}
        # Its digits are counted first: leading zeros may be any number of them.
        if len(length) > len(str(_MOST_BYTES)) or int(length) > _MOST_BYTES:
            return 413, {"error": f"more than {_MOST_BYTES} bytes"}
        try:
            asked = json.loads(self.rfile.read(int(length)))
            calls, seconds = asked["calls"], asked["timeout"]
        except (ValueError, TypeError, KeyError, RecursionError):
            return 400, {"error": 'takes {"calls": 10, "timeout": 60}'}
        if type(calls) is not int or not LEAST_CALLS <= calls <= MOST_CALLS:
            return 400, {"error": f"calls: received {calls!r}, takes {LEAST_CALLS} to {MOST_CALLS}"}
        if type(seconds) not in (int, float) or not 0 < seconds <= MOST_SECONDS:
            return 400, {"error": f"timeout: received {seconds!r}, takes up to {MOST_SECONDS:g} s"}
        return self.server.take(calls, seconds)

    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing."""


def _resolve(host: str, port: int) -> tuple[socket.AddressFamily, Any]:
    """Family and address to bind to; IPv4 where the host has both, as port forwarding expects."""
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    family, _, _, _, address = min(found, key=lambda each: each[0] != socket.AF_INET)
    return family, (address[0], port, *address[2:])


def capture_server(
    config: Any, rank: int, taker: Taker, say: Callable[[str], None]
) -> CaptureServer | None:
    """The server that a configuration asks for, of the worker `rank`; None where it does not.

    Raises:
      ConfigError: it cannot listen there.
    """
    if not config.profile.port:
        return None
    server = CaptureServer(config.profile.host, config.profile.port + rank, taker)
    address = f"[{server.host}]" if ":" in server.host else server.host
    address = f"{address}:{config.profile.port + rank}"
    if not server.is_local:
        say(
            f"warning: profile.host={config.profile.host}: whoever reaches {address} can have "
            "traces taken, which slows the run and fills its disk"
        )
    say(f"worker {rank}: `python -m trainer capture {address}` takes a trace")
    return server
