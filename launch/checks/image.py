"""Whether an image exists, as far as its registry tells without credentials."""

from __future__ import annotations

import http.client
import ipaddress
import json
import re
import socket
import threading
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from queue import Empty, Queue
from typing import Any

from launch.checks.result import Result, fail, ok, warning

NAME = "image"
SECONDS = 5.0  # without receiving a byte
ALL_SECONDS = 20.0
MAX_BYTES = 1 << 20  # of a response
DOCKER_HUB = "registry-1.docker.io"
# What a digest may refer to (OCI distribution specification): an image, or a list of them.
_TYPES = ", ".join(
    (
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
        "application/vnd.docker.distribution.manifest.v2+json",
    )
)


def image(reference: str) -> Result:
    """Asks the registry for the manifest of REF@sha256:..., without credentials."""
    registry, url = manifest_url(reference)
    try:
        status = _within(ALL_SECONDS, lambda: _status(url))
    except (OSError, ValueError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", error)
        return warning(NAME, f"{registry} does not respond from here ({reason}): cannot tell")
    if status == 200:
        return ok(NAME, f"{registry} has it")
    if status in (401, 403):
        return warning(NAME, f"{registry} requires credentials ({status}): cannot tell",
                       "check with `docker manifest inspect` and yours")  # fmt: skip
    if status == 404:
        return fail(NAME, f"{registry} does not have {reference}", "push it, or correct --image")
    return warning(NAME, f"{registry} responds with {status}: cannot tell")


def manifest_url(reference: str) -> tuple[str, str]:
    """Registry and address of a manifest; names without a registry are on Docker Hub."""
    name, _, digest = reference.partition("@")
    first, slash, rest = name.partition("/")
    if slash and (re.search(r"[.:]", first) or first == "localhost"):
        registry, path = first, rest
    else:
        registry, path = DOCKER_HUB, name if slash else f"library/{name}"
    path = re.sub(r":[^/:]*$", "", path)  # a tag next to the digest is ignored
    here = registry.partition(":")[0] in ("localhost", "127.0.0.1")
    return registry, f"http{'' if here else 's'}://{registry}/v2/{path}/manifests/{digest}"


def _status(url: str) -> int:
    """The registry's response about a manifest, without credentials."""
    status, challenge = _head(url, "")
    if status == 401 and (token := _anonymous_token(challenge, url)):
        status, _ = _head(url, token)
    return status


def _within(seconds: float, ask: Callable[[], int]) -> int:
    """The response; raises TimeoutError in total, as each byte of a slow one restarts SECONDS."""
    answers: Queue[int | Exception] = Queue()

    def run() -> None:
        try:
            answers.put(ask())
        except Exception as error:  # raised where the response is used
            answers.put(error)

    threading.Thread(target=run, daemon=True).start()
    try:
        answer = answers.get(timeout=seconds)
    except Empty:
        raise TimeoutError(f"no response within {seconds:.0f} s") from None
    if isinstance(answer, Exception):
        raise answer
    return answer


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Redirects may only lead to addresses that are allowed."""

    def redirect_request(self, *arguments: Any) -> None:
        """None: the redirect itself is the response."""
        del arguments


_OPENER = urllib.request.build_opener(_NoRedirects)


def _may_ask(realm: str, registry_url: str) -> bool:
    """Whether an address named by a registry may be contacted; raises OSError, ValueError."""
    there, own = urllib.parse.urlsplit(realm), urllib.parse.urlsplit(registry_url)
    if (there.scheme, there.hostname, there.port) == (own.scheme, own.hostname, own.port):
        return True
    if there.scheme != "https" or not there.hostname:
        return False
    found = socket.getaddrinfo(there.hostname, there.port or 443, type=socket.SOCK_STREAM)
    return all(ipaddress.ip_address(entry[4][0]).is_global for entry in found)


def _head(url: str, token: str) -> tuple[int, str]:
    """Status and, for 401, the authentication that the registry requires."""
    headers = {"Accept": _TYPES, **({"Authorization": f"Bearer {token}"} if token else {})}
    request = urllib.request.Request(url, headers=headers, method="HEAD")
    try:
        with _OPENER.open(request, timeout=SECONDS) as answer:
            return answer.status, ""
    except urllib.error.HTTPError as error:
        return error.code, error.headers.get("WWW-Authenticate", "")


def _anonymous_token(challenge: str, registry_url: str) -> str:
    """An anonymous token, which registries require even for public images; "" without one.

    The realm is an address that the registry names: unless it is the registry's own, it is
    contacted only over https at a public address, and without following redirects, so that no
    registry can make this machine query servers behind its firewall and pass on the response.
    """
    fields = dict(re.findall(r'(\w+)="([^"]*)"', challenge))
    realm = fields.pop("realm", "")
    if not challenge.lower().startswith("bearer") or not _may_ask(realm, registry_url):
        return ""
    try:
        query = urllib.parse.urlencode(fields)
        with _OPENER.open(f"{realm}?{query}", timeout=SECONDS) as answer:
            found = json.loads(answer.read(MAX_BYTES))
    except (urllib.error.HTTPError, RecursionError):
        return ""
    if not isinstance(found, dict):
        return ""
    token = found.get("token") or found.get("access_token")
    return token if isinstance(token, str) else ""
