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


def check_trusted(
    backbone: str, workdir: str, named: Collection[str], flag: str = "--trust"
) -> None:
    """Raises UsageError where a run's backbone is a foreign graph that nobody has vouched for;
    `flag` is that of the command with which a user does.
    """
    if not backbone.startswith(HUB) or backbone in named or _remembered(backbone):
        return
    raise UsageError(
        f"'{workdir}' asks for {ascii(backbone)[1:-1]}, a graph that runs as code, and no training "
        f"of yours has used it; if you trust it, add {flag}={ascii(backbone)[1:-1]}"
    )


def remember(backbone: str) -> None:
    """Notes a handle that this user's own configuration names."""
    if not backbone.startswith(HUB):
        return
    with contextlib.suppress(OSError):  # a home that cannot be written to: --trust is left
        note = _note(backbone)
        note.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_text(note, json.dumps({"handle": backbone}))


def _note(backbone: str) -> Path:
    """One file a handle: trainings that start together do not write over each other's notes."""
    return state_folder() / "trusted" / f"{hashlib.sha256(backbone.encode()).hexdigest()}.json"


def _remembered(backbone: str) -> bool:
    try:
        return bool(read_json(_note(backbone)).get("handle") == backbone)
    except (OSError, DataError):
        return False
