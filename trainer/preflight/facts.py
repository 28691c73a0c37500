"""Facts about the machine and the run directory; reads only, but for a file gone at once."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any

from trainer.config import differences, to_dict
from trainer.errors import ConfigError, UserError
from trainer.run_directory import RunDirectory


def workers(tf_config: str) -> int:
    """Processes that train together, from the JSON of TF_CONFIG; '' = one."""
    if not tf_config:
        return 1
    try:
        cluster = json.loads(tf_config).get("cluster", {})
        return max(1, sum(len(cluster.get(kind, [])) for kind in ("chief", "worker")))
    except (ValueError, AttributeError, TypeError) as error:
        raise ConfigError(
            f"TF_CONFIG is not what TensorFlow expects ({error}): {tf_config}"
        ) from None


def existing_folder(path: str) -> Path:
    """The nearest folder above a path, itself included, that is there."""
    folder = Path(path).absolute()
    while not folder.is_dir() and folder != folder.parent:
        folder = folder.parent
    return folder


def write_problem(path: str) -> str:
    """Why nothing can be written to a run directory, or ''. The directory is not made."""
    directory = RunDirectory(path)
    try:
        if directory.is_strange():
            return "not empty and not a run directory; choose another"
        above = Path(path).absolute()
        while not os.path.lexists(above):
            above = above.parent
        if not above.is_dir():
            return f"'{above}' is a file; choose another"
        with tempfile.TemporaryFile(dir=above):
            return ""
    except OSError as error:
        return f"{error.strerror}; choose another, or have its rights changed"


def run_difference(path: str, config: Any, digest: str) -> tuple[bool, str]:
    """Whether a run directory holds a run, and what of it differs from this configuration."""
    directory = RunDirectory(path)
    if not directory.config_file.exists():
        return False, ""
    try:
        before = directory.read_config()["config"]
        directory.check_same(differences(before, to_dict(config)), digest)
    except UserError as error:
        return True, str(error)
    return True, ""
