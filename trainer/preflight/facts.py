"""Facts about the machine and the run directory; reads only, but for a file gone at once."""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from preprocess.dataset_format import Manifest
from preprocess.shell.errors import ConfigError, UserError
from trainer.config import Config, differences, to_dict
from trainer.config.best_metric import with_best_metric
from trainer.data.dataset import digest_for
from trainer.data.sets import TrainingSet, changed_sets
from trainer.training.run_directory import RunDirectory
from trainer.training.run_lock import training_there

MOST_WRITTEN = 64 << 20  # bytes, to see how fast a storage is: a second on a slow disk


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
        if holder := training_there(directory):
            return f"in use by {holder}; wait for it, stop it, or choose another"
        if directory.path.is_dir() and (problem := directory.write_problem()):
            return f"{problem}; choose another, or mend that"
        above = Path(path).absolute()
        while not os.path.lexists(above):
            above = above.parent
        if not above.is_dir():
            return f"'{above}' is a file; choose another"
        with tempfile.TemporaryFile(dir=above):
            return ""
    except OSError as error:
        return f"{error.strerror}; choose another, or have its rights changed"


def save_seconds(folder: Path, state_bytes: int) -> float:
    """Seconds to write and sync so many bytes in a folder, by a file that is gone at once.

    Of a large state a part is written, and the time for its bytes is scaled up. Raises OSError.
    """
    size = max(1, min(state_bytes, MOST_WRITTEN))
    data = os.urandom(min(size, 1 << 20))  # what a file system could compress tells nothing
    with tempfile.TemporaryFile(dir=folder, buffering=0) as file:
        started = time.perf_counter()
        for _ in range(size // len(data)):
            file.write(data)
        os.fsync(file.fileno())
        seconds = time.perf_counter() - started
    return seconds * max(1.0, state_bytes / size)


def run_difference(
    path: str, config: Config, manifest: Manifest, sets: Sequence[TrainingSet] = ()
) -> tuple[bool, str]:
    """Whether a run directory holds a run, and what of it differs from this configuration."""
    directory = RunDirectory(path)
    if not directory.config_file.exists():
        return False, ""
    try:
        record = directory.read_config()
        digest = digest_for(record["dataset"], config.data, manifest)
        before = record["config"]
        now = to_dict(with_best_metric(config, before))
        others = changed_sets(config, sets, record["dataset"]) if sets else []
        directory.check_same([*differences(before, now), *others], digest)
    except UserError as error:
        return True, str(error)
    return True, ""
