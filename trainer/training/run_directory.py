"""RUN: the paths of a run's files, and checks of what a restart finds there."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import subprocess
import sys
import tempfile
from importlib import metadata
from pathlib import Path

from preprocess.shell.atomic import write_text
from preprocess.shell.errors import ConfigError, DataError, UsageError
from preprocess.shell.json_text import JsonObject, json_text
from preprocess.shell.regular_files import odd_entries, read_json, read_regular

# Fields of config.json's `dataset` that are needed to open a run, and their types.
_OF_THE_DATASET = {"task": str, "classes": list, "digest": str}
MAX_METRICS_BYTES = 1 << 30  # a million epochs
_PACKAGES = ("tensorflow", "keras", "tf-keras", "tensorflow-hub", "tensorflow-addons", "numpy")


class RunDirectory:
    """The paths and small files of a run."""

    def __init__(self, path: str) -> None:
        self.path = Path(path)
        self.config_file = self.path / "config.json"
        self.metrics_file = self.path / "metrics.jsonl"
        self.progress_file = self.path / "progress.json"
        self.records_file = self.path / "records.jsonl"
        self.reused_file = self.path / "reused_variants.jsonl"
        self.live_file = self.path / "live_variants.json"
        self.report_file = self.path / "report.json"
        self.page_file = self.path / "report.html"
        self.plots = self.path / "plots"
        self.checkpoints = self.path / "checkpoints"
        self.model = self.path / "model"
        self.tensorboard = self.path / "tensorboard"
        self.logs = self.path / "logs"
        self.lock = self.path / "lock"  # run_lock.py
        self.timeline = self.path / "timeline"

    def traces(self, rank: int) -> Path:
        """The folder in which TensorBoard finds the traces of a worker.

        Traces are named by host and second, which two workers of one machine may share.
        """
        return self.tensorboard / f"worker-{rank}" if rank else self.tensorboard

    def make(self) -> None:
        """Creates the folder; raises UsageError if that is impossible.

        Before write_config(), it holds nothing but logs and the lock: a run that fails before that
        leaves a folder that the next run can use.
        """
        if ":/" in str(self.path):  # pathlib turns gs:// into gs:/
            raise UsageError(
                f"--workdir='{self.path}': a run directory must be a local folder; mount the "
                "bucket, or copy the run there afterwards"
            )
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            strange = self.is_strange()
        except OSError as error:
            raise UsageError(f"--workdir='{self.path}': {error.strerror}") from None
        if problem := self.write_problem():
            raise UsageError(
                f"--workdir='{self.path}': {problem}; training must be able to write it"
            )
        if strange:
            raise UsageError(
                f"--workdir='{self.path}' is not empty and not a run directory; choose another"
            )

    def write_problem(self) -> str:
        """Why a training could not write the existing directory; "" if it could."""
        # A stranger's directory may have a link to any file instead of its logs.
        ours = {path.name for path in vars(self).values()} - {self.path.name} | {"capture"}
        for odd in odd_entries(self.path):
            if odd.partition(os.sep)[0] in ours:
                return f"'{self.path / odd}' is a link that leads out of it, a pipe or a device"
        files = (self.config_file, self.metrics_file, self.report_file, self.page_file)
        for file in files:
            if file.is_dir():
                return f"'{file}' is a folder"
        folders = (self.plots, self.checkpoints, self.model, self.tensorboard, self.logs)
        states = (self.checkpoints / "last", self.checkpoints / "best")
        for folder in (self.path, *folders, *states):
            if not os.path.lexists(folder):
                continue
            if not folder.is_dir():
                return f"'{folder}' is not a folder"
            try:
                with tempfile.TemporaryFile(dir=folder):
                    pass
            except OSError as error:
                return f"'{folder}': {error.strerror}"
        return ""

    def is_strange(self) -> bool:
        """Whether the folder has files, and none of a run."""
        if not self.path.is_dir() or self.config_file.exists():
            return False
        # Workers write their logs before the run begins, and a launcher has its own folder there.
        ours = ("launch", self.logs.name, self.lock.name, self.timeline.name)
        return any(path.name not in ours for path in self.path.iterdir())

    def timeline_file(self, rank: int) -> Path:
        """The file with a worker's activities over time."""
        return self.timeline / f"worker-{rank}.jsonl"

    def write_config(self, record: JsonObject) -> None:
        """Writes config.json."""
        write_text(self.config_file, json_text(record, indent=2))

    def read_config(self) -> JsonObject:
        """What write_config() wrote; raises DataError if this is not a run directory."""
        try:
            record = read_json(self.config_file)
        except FileNotFoundError:
            raise DataError(
                f"'{self.path}' is not a run directory: it has no config.json"
            ) from None
        config, dataset = record.get("config"), record.get("dataset")
        if not isinstance(config, dict) or not isinstance(dataset, dict):
            raise DataError(f"'{self.config_file}' cannot be read: not written by this trainer")
        for name, kind in _OF_THE_DATASET.items():
            if not isinstance(dataset.get(name), kind):
                raise DataError(
                    f"'{self.config_file}' cannot be read: dataset.{name} is "
                    f"{str(dataset.get(name))[:40]!r}"
                )
        if not all(isinstance(name, str) for name in dataset["classes"]):
            raise DataError(f"'{self.config_file}' cannot be read: a class name is not text")
        return record

    def check_same(self, changed: list[str], dataset_digest: str) -> None:
        """Raises ConfigError if a restart's configuration differs from the run's."""
        before = self.read_config()["dataset"]["digest"]
        if before != dataset_digest:
            changed = [*changed, f"dataset digest ({before[:12]} -> {dataset_digest[:12]})"]
        if changed:
            raise ConfigError(
                f"'{self.path}' was started with another configuration: {'; '.join(changed)}. "
                "Use the old values, or another --workdir"
            )

    def rows(self) -> list[JsonObject]:
        """The complete rows of metrics.jsonl."""
        rows: list[JsonObject] = []
        try:
            text = read_regular(self.metrics_file, MAX_METRICS_BYTES).decode("utf-8", "replace")
        except FileNotFoundError:
            return rows
        except OSError as error:
            raise DataError(f"'{self.metrics_file}' cannot be read: {error.strerror}") from None
        for line in text.splitlines():
            try:
                row = json.loads(line)
            except (ValueError, RecursionError):
                break  # only the last line can be truncated by a kill
            if not isinstance(row, dict) or not isinstance(row.get("epoch"), (int, float)):
                raise DataError(f"'{self.metrics_file}' has a line that is not the row of an epoch")
            rows.append(row)
        return rows

    def history(self, epochs: int, validated: int = 0) -> list[JsonObject]:
        """The rows of metrics.jsonl up to `epochs`, and those of validations within the next epoch
        up to the step `validated`; later ones are also removed from the file, as the state from
        which the run resumes does not include them.
        """
        rows = [
            row
            for row in self.rows()
            if row["epoch"] <= epochs
            or (row["epoch"] < epochs + 1 and row.get("step", sys.maxsize) <= validated)
        ]
        write_text(self.metrics_file, "".join(json_text(row) + "\n" for row in rows))
        return rows

    def append(self, row: JsonObject) -> None:
        """Appends a row to metrics.jsonl."""
        with open(self.metrics_file, "a", encoding="utf-8") as file:
            file.write(json_text(row) + "\n")
            file.flush()
            os.fsync(file.fileno())


def versions() -> dict[str, str | None]:
    """Package versions, None for those not installed, and the git commit of this code, None
    outside a checkout.
    """
    found: dict[str, str | None] = dict.fromkeys(_PACKAGES)
    found["python"] = platform.python_version()
    for package in _PACKAGES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[package] = metadata.version(package)
    try:
        here = Path(__file__).resolve().parents[2]
        found["git"] = subprocess.run(
            ["git", "-C", str(here), "rev-parse", "HEAD"],
            capture_output=True,
            text=True,
            check=True,
            timeout=10,
        ).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        found["git"] = None
    return found
