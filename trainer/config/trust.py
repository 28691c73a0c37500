"""Which code of others a run directory, or its config.json as `--config`, may have run.

A run directory may come from a stranger. Its states are numbers, and its network is built by our
own code, with two exceptions: a hub module is a graph that TensorFlow runs, with file and network
access, and FILE.py:NAME or MODULE:NAME is Python. So these are loaded only where they come from
this user: named by `--trust`, or in a configuration that this user has trained before (noted in the
user's own state folder; Python with its source, which must still be the same).
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Collection
from pathlib import Path

from preprocess.shell.atomic import write_text
from preprocess.shell.errors import DataError, UsageError
from preprocess.shell.json_text import JsonObject
from preprocess.shell.reference_source import source_record
from preprocess.shell.references import (
    absolute_reference,
    is_file_reference,
    split_reference,
)
from preprocess.shell.regular_files import read_json
from preprocess.shell.user_state import state_folder
from trainer.config.keys import Config
from trainer.config.own_code import own_code

HUB = "hub:"
BACKBONE = "model.backbone"


def foreign_code(config: Config, *, training: bool = True) -> dict[str, str]:
    """What a configuration has run as code, by its key: a hub module, and references.

    Without `training`, what a finished run needs.
    """
    backbone = config.model.backbone
    graph = {BACKBONE: backbone} if backbone.startswith(HUB) else {}
    return graph | own_code(config, training=training)


def check_trusted(code: str, workdir: str, named: Collection[str], flag: str = "--trust") -> None:
    """Raises UsageError where a run has something run as code that nobody has vouched for.

    Args:
      code: a hub module or a reference.
      workdir: the run that asks for it.
      named: what the user vouches for.
      flag: that of the command with which a user does.
    """
    if code in map(absolute_reference, named) or _remembered(code):
        return
    shown = ascii(code)[1:-1]
    if is_file_reference(code) and not os.path.exists(split_reference(code)[0]):
        file = os.path.basename(shown)
        raise UsageError(
            f"'{workdir}' asks for {shown}, Python code that is not on this machine (it may have "
            f"been trained elsewhere); if you have the file, add {flag}=FOLDER/{file}"
        )
    what, used = "a graph that runs as code", "has used it"
    if not code.startswith(HUB):
        what, used = "Python code", "has used it as it is now"
    raise UsageError(
        f"'{workdir}' asks for {shown}, {what}, and no training of yours {used}; if you trust it, "
        f"add {flag}={shown}"
    )


def remember(config: Config) -> None:
    """Notes what this user's own configuration has run as code."""
    for code in foreign_code(config).values():
        with contextlib.suppress(OSError):  # a home that cannot be written to: --trust is left
            note = _note(code)
            note.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            write_text(note, json.dumps(_record(code)))


def _record(code: str) -> JsonObject:
    python = not code.startswith(HUB)
    return {"handle": code, **({"source": source_record(code)} if python else {})}


def _note(code: str) -> Path:
    """One file each: trainings that start together do not write over each other's notes."""
    mark = hashlib.sha256(code.encode("utf-8", "surrogatepass")).hexdigest()
    return state_folder() / "trusted" / f"{mark}.json"


def _remembered(code: str) -> bool:
    try:
        return read_json(_note(code)) == _record(code)
    except (OSError, DataError):
        return False
