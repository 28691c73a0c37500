"""Whether an image is where it is said to be, as far as its registry tells a stranger."""

from __future__ import annotations

import json
import re
import urllib.error
import urllib.parse
import urllib.request

from launch.checks.result import Result, fail, ok, warning

NAME = "image"
SECONDS = 5.0
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
        status, challenge = _head(url, "")
        if status == 401 and (token := _anonymous_token(challenge)):
            status, _ = _head(url, token)
    except (OSError, ValueError) as error:
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


def _head(url: str, token: str) -> tuple[int, str]:
    """Status and, where it is 401, what the registry wants."""
    headers = {"Accept": _TYPES, **({"Authorization": f"Bearer {token}"} if token else {})}
    request = urllib.request.Request(url, headers=headers, method="HEAD")
    try:
        with urllib.request.urlopen(request, timeout=SECONDS) as answer:
            return answer.status, ""
    except urllib.error.HTTPError as error:
        return error.code, error.headers.get("WWW-Authenticate", "")


def _anonymous_token(challenge: str) -> str:
    """Public images, too, are given out with a token, which anybody gets; "" without one."""
    fields = dict(re.findall(r'(\w+)="([^"]*)"', challenge))
    realm = fields.pop("realm", "")
    if not challenge.lower().startswith("bearer") or not realm.startswith(("https://", "http://")):
        return ""
    try:
        query = urllib.parse.urlencode(fields)
        with urllib.request.urlopen(f"{realm}?{query}", timeout=SECONDS) as answer:
            found = json.load(answer)
    except urllib.error.HTTPError:
        return ""
    return str(found.get("token") or found.get("access_token") or "")
