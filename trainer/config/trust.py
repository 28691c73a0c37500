"""Which graphs of others a run directory, or its config.json as `--config`, may have loaded.

A run directory may come from a stranger. Its states are numbers, and its network is built by our
own code, with one exception: a hub module is a graph that TensorFlow runs, with file and network
access. So one is loaded only where its handle comes from this user: named by `--trust`, or in a
configuration that this user has trained before (noted in the user's own state folder).
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Collection
from pathlib import Path

from preprocess.shell.atomic import write_text
from preprocess.shell.errors import DataError, UsageError
from preprocess.shell.regular_files import read_json
from preprocess.shell.user_state import state_folder

HUB = "hub:"
_SERVICE = "service:"


def check_trusted(
    backbone: str, workdir: str, named: Collection[str], flag: str = "--trust"
) -> None:
    """Raises UsageError if a run's backbone is a foreign graph that nobody has vouched for;
    `flag` is that of the command with which a user does.
    """
    if not backbone.startswith(HUB) or backbone in named or _remembered(backbone):
        return
    raise UsageError(
        f"'{workdir}' asks for {ascii(backbone)[1:-1]}, a graph that runs as code, and no training "
        f"of yours has used it; if you trust it, add {flag}={ascii(backbone)[1:-1]}"
    )


def check_service(address: str, run: str) -> None:
    """Raises UsageError if only a run's config.json names a tf.data service, which would be
    connected to.
    """
    if address and not _remembered(f"{_SERVICE}{address}"):
        shown = ascii(address)[1:-1]
        raise UsageError(
            f"'{run}' asks the tf.data service at {shown}, and no training of yours has; give "
            f"--config.data.service={shown}, or --config.data.service= for none"
        )


def remember(backbone: str, service: str = "") -> None:
    """Notes a handle and an address that this user's own configuration names."""
    if backbone.startswith(HUB):
        _write_note(backbone)
    if service:
        _write_note(f"{_SERVICE}{service}")


def _write_note(backbone: str) -> None:
    with contextlib.suppress(OSError):  # a home that cannot be written to: --trust is left
        note = _note(backbone)
        note.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_text(note, json.dumps({"handle": backbone}))


def _note(backbone: str) -> Path:
    """One file a handle: trainings that start together do not write over each other's notes."""
    mark = hashlib.sha256(backbone.encode("utf-8", "surrogatepass")).hexdigest()
    return state_folder() / "trusted" / f"{mark}.json"


def _remembered(backbone: str) -> bool:
    try:
        return bool(read_json(_note(backbone)).get("handle") == backbone)
    except (OSError, DataError):
        return False
