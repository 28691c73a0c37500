"""Whether an image is where it is said to be, as far as its registry tells a stranger."""

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
SECONDS = 5.0  # without a byte
ALL_SECONDS = 20.0
MAX_BYTES = 1 << 20  # of an answer
DOCKER_HUB = "registry-1.docker.io"
# What a digest may name (OCI distribution specification): an image, or a list of them.
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
        return warning(NAME, f"{registry} does not answer from here ({reason}): cannot tell")
    if status == 200:
        return ok(NAME, f"{registry} has it")
    if status in (401, 403):
        return warning(NAME, f"{registry} wants credentials ({status}): cannot tell",
                       "`docker manifest inspect` with yours tells")  # fmt: skip
    if status == 404:
        return fail(NAME, f"{registry} does not have {reference}", "push it, or correct --image")
    return warning(NAME, f"{registry} answers {status}: cannot tell")


def manifest_url(reference: str) -> tuple[str, str]:
    """Registry and address of a manifest; names without a registry are Docker Hub's."""
    name, _, digest = reference.partition("@")
    first, slash, rest = name.partition("/")
    if slash and (re.search(r"[.:]", first) or first == "localhost"):
        registry, path = first, rest
    else:
        registry, path = DOCKER_HUB, name if slash else f"library/{name}"
    path = re.sub(r":[^/:]*$", "", path)  # a tag beside the digest says nothing
    here = registry.partition(":")[0] in ("localhost", "127.0.0.1")
    return registry, f"http{'' if here else 's'}://{registry}/v2/{path}/manifests/{digest}"


def _status(url: str) -> int:
    """What the registry says of a manifest to somebody without credentials."""
    status, challenge = _head(url, "")
    if status == 401 and (token := _anonymous_token(challenge, url)):
        status, _ = _head(url, token)
    return status


def _within(seconds: float, ask: Callable[[], int]) -> int:
    """The answer; raises TimeoutError after so long: each byte of a slow one restarts SECONDS."""
    answers: Queue[int | Exception] = Queue()

    def run() -> None:
        try:
            answers.put(ask())
        except Exception as error:  # raised where the answer is wanted
            answers.put(error)

    threading.Thread(target=run, daemon=True).start()
    try:
        answer = answers.get(timeout=seconds)
    except Empty:
        raise TimeoutError(f"no answer within {seconds:.0f} s") from None
    if isinstance(answer, Exception):
        raise answer
    return answer


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Where a server sends us, too, is an address that it names."""

    def redirect_request(self, *arguments: Any) -> None:
        """None: the redirect is the answer."""
        del arguments


_OPENER = urllib.request.build_opener(_NoRedirects)


def _may_ask(realm: str, registry_url: str) -> bool:
    """Whether an address that a registry names may be asked; raises OSError, ValueError."""
    there, own = urllib.parse.urlsplit(realm), urllib.parse.urlsplit(registry_url)
    if (there.scheme, there.hostname, there.port) == (own.scheme, own.hostname, own.port):
        return True
    if there.scheme != "https" or not there.hostname:
        return False
    found = socket.getaddrinfo(there.hostname, there.port or 443, type=socket.SOCK_STREAM)
    return all(ipaddress.ip_address(entry[4][0]).is_global for entry in found)


def _head(url: str, token: str) -> tuple[int, str]:
    """Status and, where it is 401, what the registry wants."""
    headers = {"Accept": _TYPES, **({"Authorization": f"Bearer {token}"} if token else {})}
    request = urllib.request.Request(url, headers=headers, method="HEAD")
    try:
        with _OPENER.open(request, timeout=SECONDS) as answer:
            return answer.status, ""
    except urllib.error.HTTPError as error:
        return error.code, error.headers.get("WWW-Authenticate", "")


def _anonymous_token(challenge: str, registry_url: str) -> str:
    """Public images, too, are given out with a token, which anybody gets; "" without one.

    The realm is an address that the registry names: where it is not the registry's own it is asked
    over https at a public address only, and no redirect is followed, so that nobody's registry
    makes this machine ask what stands behind its firewall and hand over the answer.
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
