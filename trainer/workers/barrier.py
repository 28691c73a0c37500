"""The start of several workers: each waits, within a time limit, until all are present.

TensorFlow's own start waits an hour for a missing peer without naming it. So before TensorFlow
takes its port, each worker listens on it and calls every other one. A worker continues when every
peer has answered it and called it: no worker that is still waiting can then find it gone. A call is
one line each way, `shardline RANK DIGEST`; a peer of an earlier attempt whose port TensorFlow still
holds does not answer like that, and is waited for. The digest is keyed by $SHARDLINE_START_TOKEN if
whoever starts the workers sets one, so that a stranger who knows the addresses cannot take a
worker's place.
"""

from __future__ import annotations

import contextlib
import errno
import socket
import threading
import time
from collections.abc import Callable

from preprocess.shell.address import host_and_port
from preprocess.shell.errors import ConfigError, LostPeerError, UnavailableError
from trainer.workers.cluster import Cluster

_GREETING = "shardline"
_LINE_BYTES = 128
_OTHER_CLUSTER = "has another TF_CONFIG"
_CALL_SECONDS = 2.0  # for one call, whatever is at the other end
_CALLS_AT_ONCE = 256  # far more than the workers of a cluster that call at the same time
_PAUSE_SECONDS = 0.2
_NOT_OURS = errno.EADDRNOTAVAIL
_TELL_SECONDS = 10.0  # after which the missing workers are named


def wait_for_peers(cluster: Cluster, seconds: float, say: Callable[[str], None]) -> None:
    """Returns when all workers of the cluster are present.

    Args:
      cluster: of this process.
      seconds: how long to wait.
      say: receives a message with the missing workers.

    Raises:
      LostPeerError: a peer did not come in time; the message names it.
      UnavailableError: this worker's port is in use.
      ConfigError: a peer has another TF_CONFIG.
    """
    deadline = time.monotonic() + seconds
    with _Listener(cluster, _bind(cluster, deadline)) as listener:
        missing = {rank: "not called yet" for rank in range(cluster.size) if rank != cluster.rank}
        told = time.monotonic()
        while missing or listener.not_heard:
            for rank in list(missing):
                reason = _call(cluster, rank)
                if reason is None:
                    del missing[rank]
                else:
                    missing[rank] = reason
            now = time.monotonic()
            waiting = _who(cluster, missing, listener.not_heard)
            if waiting and now > deadline:
                raise _refusal(waiting, {*missing.values(), listener.stranger}, seconds)
            if waiting and now > told + _TELL_SECONDS:
                say(f"waiting for {waiting}")
                told = now
            if waiting:
                time.sleep(_PAUSE_SECONDS)


def is_listening(address: str, seconds: float = _CALL_SECONDS) -> bool:
    """Whether anything accepts connections at HOST:PORT."""
    try:
        socket.create_connection(host_and_port(address), timeout=seconds).close()
    except OSError:
        return False
    return True


def _who(cluster: Cluster, missing: dict[int, str], not_heard: set[int]) -> str:
    """The missing peers, each with what is known about it."""
    reasons = {**dict.fromkeys(not_heard, "responds, but has not called"), **missing}
    return ", ".join(f"{cluster.name(rank)}: {reasons[rank]}" for rank in sorted(reasons))


def _refusal(waiting: str, reasons: set[str], seconds: float) -> Exception:
    """Raises when the time is up. Another TF_CONFIG may belong to an earlier attempt that is about
    to exit, so it is an error only now.
    """
    if _OTHER_CLUSTER in reasons:
        return ConfigError(
            f"{waiting}: not all workers were started with the same cluster in TF_CONFIG, each "
            "with its own task"
        )
    return LostPeerError(
        f"{waiting}: did not join within {seconds:g} s; look at that worker's log, or allow "
        "more time with --config.watchdog.start_seconds"
    )


def _call(cluster: Cluster, rank: int) -> str | None:
    """None if the peer answered, otherwise the reason."""
    try:
        with socket.create_connection(
            host_and_port(cluster.addresses[rank]), timeout=_CALL_SECONDS
        ) as peer:
            peer.sendall(f"{_GREETING} {cluster.rank} {cluster.digest}\n".encode())
            answer = _read_line(peer)
    except socket.gaierror as error:
        return f"its name does not resolve ({error.strerror})"
    except TimeoutError:
        return "no answer"
    except OSError as error:
        return (error.strerror or str(error)).lower()
    if answer == f"{_GREETING} {rank} {cluster.digest}":
        return None
    if answer.startswith(f"{_GREETING} "):
        return _OTHER_CLUSTER
    return "another program, or an earlier attempt of this run, has its port"


def _bind(cluster: Cluster, deadline: float) -> socket.socket:
    """A socket on this worker's port; bound to its address only if this machine has it."""
    host, port = host_and_port(cluster.addresses[cluster.rank])
    while True:
        try:
            return _bound(host, port)
        except OSError as error:
            if time.monotonic() > deadline:
                raise UnavailableError(
                    f"port {port} of {cluster.name(cluster.rank)}, this worker, is not available: "
                    f"{(error.strerror or str(error)).lower()}"
                ) from None
        time.sleep(_PAUSE_SECONDS)


def _bound(host: str, port: int) -> socket.socket:
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        return socket.create_server(address[:2], family=family)
    except OSError as error:
        # The name may be that of a service or a translated address; TensorFlow accepts all of them.
        if isinstance(error, socket.gaierror) or error.errno == _NOT_OURS:
            return socket.create_server(("", port))
        raise


def _read_line(peer: socket.socket) -> str:
    """Reads up to a line feed; anything longer is not ours and is cut off.

    Raises TimeoutError after _CALL_SECONDS in total: with a limit for each read, a stranger who
    sends a byte a second could stay for minutes.
    """
    deadline = time.monotonic() + _CALL_SECONDS
    data = b""
    while b"\n" not in data and len(data) < _LINE_BYTES:
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("no complete line in time")
        peer.settimeout(left)
        part = peer.recv(_LINE_BYTES)
        if not part:
            break
        data += part
    return data.split(b"\n")[0].decode("ascii", "replace")


class _Listener:
    """Answers the calls of the peers, each in a thread, so that a slow one delays nobody.

    Attributes:
      not_heard: ranks that have not called yet.
      stranger: _OTHER_CLUSTER once a worker of another cluster, or of the same rank, called.
    """

    def __init__(self, cluster: Cluster, server: socket.socket) -> None:
        self._cluster = cluster
        self._server = server
        self._server.settimeout(_PAUSE_SECONDS)
        self._done = threading.Event()
        self._places = threading.BoundedSemaphore(_CALLS_AT_ONCE)
        self._lock = threading.Lock()
        self._callers: set[socket.socket] = set()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self.not_heard = set(range(cluster.size)) - {cluster.rank}
        self.stranger = ""

    def __enter__(self) -> _Listener:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._done.set()
        self._thread.join()
        self._server.close()
        # A peer that has already continued may have called TensorFlow here. Its connection has to
        # be closed now: the thread that would do so stands still while TensorFlow holds the
        # interpreter lock, waiting for that peer.
        with self._lock:
            for caller in self._callers:
                with contextlib.suppress(OSError):  # already closed by the peer
                    caller.shutdown(socket.SHUT_RDWR)

    def _serve(self) -> None:
        while not self._done.is_set():
            with contextlib.suppress(OSError):  # no call, or closed by the peer
                caller, _ = self._server.accept()
                if self._places.acquire(blocking=False):
                    with self._lock:
                        self._callers.add(caller)
                    threading.Thread(target=self._hear, args=(caller,), daemon=True).start()
                else:
                    caller.close()  # peers call again

    def _hear(self, caller: socket.socket) -> None:
        try:
            with contextlib.suppress(OSError):
                self._answer(caller)
        finally:
            with self._lock:
                self._callers.discard(caller)
            caller.close()
            self._places.release()

    def _answer(self, caller: socket.socket) -> None:
        words = _read_line(caller).split()
        if len(words) != 3 or words[0] != _GREETING:
            return
        caller.sendall(f"{_GREETING} {self._cluster.rank} {self._cluster.digest}\n".encode())
        _, rank, digest = words
        if digest != self._cluster.digest or rank == str(self._cluster.rank):
            self.stranger = _OTHER_CLUSTER
        elif rank.isdecimal():
            with self._lock:
                self.not_heard = self.not_heard - {int(rank)}
