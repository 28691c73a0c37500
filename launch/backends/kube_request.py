"""Requests to an API server through the official client: limits, retries, readable errors."""

from __future__ import annotations

import contextlib
import os
import random
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from launch.runs import outage
from preprocess.shell.errors import UnavailableError, first_line

Object = dict[str, Any]

TRIES = 6
FIRST_WAIT_SECONDS = 0.5
LONGEST_WAIT_SECONDS = 20.0
CONNECT_SECONDS = 10.0
REQUEST_SECONDS = 30.0  # between two pieces of a response
NOTICE_SECONDS = 5.0  # after which a message says that a request is being retried
NO_RESPONSE = "the API server does not respond"


class ClusterError(UnavailableError):
    """The API server cannot be reached, or rejects the request (69).

    `passing` is true if the same request may succeed later.
    """

    def __init__(self, message: str, passing: bool = False) -> None:
        super().__init__(message)
        self.passing = passing


class NoCluster(ClusterError):
    """There is no kubeconfig that can be read."""


class Forbidden(ClusterError):
    """The API server does not know the user, or denies access."""


class Missing(Exception):
    """There is no such object."""


class Conflict(Exception):
    """The object exists already."""


class Requests:
    """Sends one request at a time to the kubeconfig's server; raises ClusterError without one."""

    def __init__(self, sleep: Callable[[float], None], tries: int, seconds: float) -> None:
        self._sleep, self._tries, self.seconds = sleep, tries, seconds
        self._client = _client()

    def call(
        self,
        method: str,
        path: str,
        body: Object | None = None,
        query: list[tuple[str, str]] | None = None,
        raw_seconds: float = 0.0,
    ) -> Any:
        """The response to a request, which is retried while the server is busy or unreachable.

        Args:
          method: the HTTP method.
          path: of the API.
          body: plain data.
          query: names and values.
          raw_seconds: above 0 for a response that is read in pieces: the longest silence.

        Raises:
          Missing, Conflict: the server's 404 and 409.
          ClusterError: the server rejects the request, or does not respond.
        """
        # A log that is followed may be silent.
        with contextlib.nullcontext() if raw_seconds > self.seconds else _noticed():
            found = self._tried(method, path, body, query or [], raw_seconds)
        outage.over()
        return found

    def _tried(
        self,
        method: str,
        path: str,
        body: Object | None,
        query: list[tuple[str, str]],
        raw_seconds: float,
    ) -> Any:
        from kubernetes.client import ApiException
        from urllib3.exceptions import HTTPError

        kind = "application/merge-patch+json" if method == "PATCH" else "application/json"
        said = ""
        for attempt in range(self._tries):
            try:
                return self._client.call_api(
                    path,
                    method,
                    query_params=query,
                    header_params={"Accept": "*/*" if raw_seconds else "application/json",
                                   "Content-Type": kind},
                    body=body,
                    response_type=None if raw_seconds else "object",
                    auth_settings=["BearerToken"],
                    _return_http_data_only=True,
                    _preload_content=not raw_seconds,
                    # A pair: the client ignores a single number that is not an int.
                    _request_timeout=(min(self.seconds, CONNECT_SECONDS),
                                      raw_seconds or self.seconds),
                )  # fmt: skip
            except ApiException as error:
                if not error.status:  # how the client reports a failed handshake
                    raise ClusterError(plain(error)) from None
                if error.status == 404:
                    raise Missing(path) from None
                if error.status == 409:
                    raise Conflict(path) from None
                said = _reason(error)
                forbidden = error.status in (401, 403)
                # A server that has just started has not read its rules yet, and denies everybody
                # access.
                last, starting = attempt + 1 == self._tries, outage.is_recent()
                if forbidden and (last or not starting):
                    raise Forbidden(f"{method} {path}: {said}", passing=starting) from None
                if not forbidden and error.status != 429 and not 500 <= error.status < 600:
                    raise ClusterError(f"{method} {path}: {said}") from None
                wait = _wait(attempt, error.headers)
            except HTTPError as error:
                outage.failed()
                said, wait = plain(error), _wait(attempt, None)
            if attempt + 1 < self._tries:
                self._sleep(wait)
        raise ClusterError(f"{NO_RESPONSE} ({method} {path}): {said}", passing=True)


def plain(error: BaseException) -> str:
    """Why a connection failed, in short; raises ClusterError if retrying is pointless.

    The client wraps the cause several times and names it with its objects' addresses.
    """
    import ssl

    from urllib3 import exceptions

    chain: list[BaseException] = [error]
    for cause in chain:  # grows inside the loop
        inner = (getattr(cause, "reason", None), cause.__cause__, cause.__context__, *cause.args)
        chain += [e for e in inner if isinstance(e, BaseException) and e not in chain]
    for cause in chain:
        if isinstance(cause, ssl.SSLCertVerificationError):
            raise ClusterError(
                f"the API server's certificate is not trusted: {cause.verify_message}; "
                "is certificate-authority in the kubeconfig that of this cluster?"
            )
    for cause in chain:
        if isinstance(cause, exceptions.NameResolutionError):
            return "its name cannot be resolved"
        if isinstance(cause, exceptions.ConnectTimeoutError):
            return "no connection within the time limit"
        if isinstance(cause, exceptions.ReadTimeoutError):
            return "no response within the time limit"
        if isinstance(cause, ssl.SSLError):
            return f"TLS: {cause.reason or cause}"
    os_errors = [cause for cause in chain if isinstance(cause, OSError) and cause.strerror]
    if os_errors:
        return str(os_errors[0].strerror).lower()
    if isinstance(error, exceptions.NewConnectionError):
        return "connection refused"
    return first_line(error)


@contextlib.contextmanager
def _noticed() -> Iterator[None]:
    """Reports that a server does not respond, after a few seconds."""
    notice = threading.Timer(NOTICE_SECONDS, outage.note, [f"{NO_RESPONSE}; still trying"])
    notice.daemon = True
    notice.start()
    try:
        yield
    finally:
        notice.cancel()


def _client() -> Any:
    from kubernetes import client, config

    # Passed explicitly: the client reads the variable only once, at its import.
    given = os.environ.get("KUBECONFIG")
    inside = "KUBERNETES_SERVICE_HOST" in os.environ
    if not given and not inside and not (Path.home() / ".kube" / "config").exists():
        raise NoCluster("no cluster is configured: no ~/.kube/config; set KUBECONFIG")
    try:
        config.load_config(**({"config_file": given} if given else {}))
    except config.ConfigException as error:
        raise NoCluster(f"no cluster is configured ({error}); set KUBECONFIG") from None
    except Exception as error:  # the kubeconfig is the user's file, with any content
        raise NoCluster(f"the kubeconfig cannot be read: {error}") from None
    settings = client.Configuration.get_default_copy()
    settings.retries = False  # we retry ourselves, with pauses
    return client.ApiClient(settings)


def _wait(attempt: int, headers: Any) -> float:
    """Seconds before the next retry: doubling, with jitter, and at least what the server asks
    for.
    """
    asked = float((headers or {}).get("Retry-After") or 0)
    longest = min(LONGEST_WAIT_SECONDS, FIRST_WAIT_SECONDS * 2**attempt)
    return max(asked, random.uniform(longest / 2, longest))


def _reason(error: Any) -> str:
    import json

    try:
        return str(json.loads(error.body)["message"])
    except (TypeError, ValueError, KeyError):
        return f"{error.status} {error.reason}"
