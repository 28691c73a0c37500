"""One picture from one URL: bounded in bytes, time and redirects."""

from __future__ import annotations

import dataclasses
import functools
import http.client
import re
import socket
import ssl
import time
from urllib.parse import quote, urljoin, urlsplit

from preprocess.download.addresses import Connection, PrivateAddressError

AGENT = "shardline-fetch/1 (dataset of pictures; one visit a picture)"
MOST_REDIRECTS = 5
MOST_PAUSE_SECONDS = 300.0  # that a server may ask for
PRIVATE_ADDRESS = "private_address"
_CHUNK = 1 << 16
_REDIRECTS = (301, 302, 303, 307, 308)
_PASSING = (408, 425, 429, 500, 502, 503, 504)
# What a site says where its pictures are not for training: https://img2dataset and others heed it.
_UNWANTED = frozenset(("noai", "noimageai"))


@dataclasses.dataclass(frozen=True)
class Limits:
    """What one picture may cost."""

    max_bytes: int
    seconds: float  # for all of it, redirects included
    allow_private: bool  # addresses of private networks and of this machine


class FetchError(Exception):
    """A picture that did not come. `passing` = it may come a little later, not before `pause`
    seconds where the server asks for it.
    """

    def __init__(self, reason: str, detail: str, passing: bool = False, pause: float = 0.0) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail
        self.passing = passing
        self.pause = pause


def host_of(url: str) -> str:
    """The host of an http or https URL; raises FetchError for anything else."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise FetchError("bad_url", str(error)) from None
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
        raise FetchError("bad_url", f"'{url[:80]}' is not an http or https URL")
    return parts.hostname


def fetch(url: str, limits: Limits) -> bytes:
    """The content of a URL, redirects followed. Raises FetchError."""
    deadline = time.monotonic() + limits.seconds
    for _ in range(MOST_REDIRECTS + 1):
        try:
            content, target = _ask(url, limits, deadline)
        except PrivateAddressError as error:
            raise FetchError(PRIVATE_ADDRESS, f"{error}; --allow_private permits it") from None
        except ssl.SSLCertVerificationError as error:
            raise FetchError("bad_certificate", error.verify_message) from None
        except (TimeoutError, http.client.HTTPException, OSError) as error:
            gone = isinstance(error, socket.gaierror) and error.errno == socket.EAI_NONAME
            reason = "no_such_host" if gone else "no_connection"
            raise FetchError(reason, str(error)[:200] or type(error).__name__, not gone) from None
        if not target:
            return content
        url = urljoin(url, target)
    raise FetchError("too_many_redirects", f"more than {MOST_REDIRECTS}")


@functools.cache
def _tls() -> ssl.SSLContext:
    return ssl.create_default_context()  # reads the system's certificates: once will do


def _ask(url: str, limits: Limits, deadline: float) -> tuple[bytes, str]:
    """The content, or where the server sends to."""
    host = host_of(url)
    parts = urlsplit(url)
    tls = _tls() if parts.scheme == "https" else None
    port = parts.port or (443 if tls else 80)
    connection = Connection(host, port, _left(deadline), tls, limits.allow_private)
    try:
        path = quote(parts.path or "/", safe="/%:@!$&'()*+,;=~-._")
        query = f"?{quote(parts.query, safe='/%:@!$&()*+,;=~-._?')}" if parts.query else ""
        headers = {"User-Agent": AGENT, "Accept": "image/*", "Accept-Encoding": "identity"}
        connection.request("GET", path + query, headers=headers)
        response = connection.getresponse()
        if response.status in _REDIRECTS:
            target = response.headers.get("Location", "")
            if not target:
                raise FetchError("bad_answer", f"{response.status} that leads nowhere")
            return b"", target
        _check(response)
        content = _content(response, limits)
        if connection.is_cut:
            raise TimeoutError("it took too long")
        return content, ""
    finally:
        connection.end()


def _check(response: http.client.HTTPResponse) -> None:
    if response.status != 200:
        passing = response.status in _PASSING
        pause = response.headers.get("Retry-After", "")
        seconds = float(pause) if re.fullmatch("[0-9]{1,6}", pause) else 0.0
        text = f"{response.status} {response.reason}"[:80]
        raise FetchError(f"http_{response.status}", text, passing, min(seconds, MOST_PAUSE_SECONDS))
    robots = response.headers.get("X-Robots-Tag", "").lower()
    if _UNWANTED & set(re.split(r"[\s,:;]+", robots)):
        raise FetchError("not_for_training", f"X-Robots-Tag: {robots[:80]}")


def _content(response: http.client.HTTPResponse, limits: Limits) -> bytes:
    pieces: list[bytes] = []
    size = response.length or 0
    received = 0
    while size <= limits.max_bytes:
        piece = response.read1(_CHUNK)
        if not piece:
            if response.length:
                raise http.client.IncompleteRead(b"", response.length)
            return b"".join(pieces)
        pieces.append(piece)
        received += len(piece)
        size = max(size, received)
    raise FetchError("too_large", f"more than {limits.max_bytes} bytes")


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError("it took too long")
    return left
