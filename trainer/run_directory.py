"""RUN: where everything of a run lies, and what a restart may find there."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import uuid
from importlib import metadata
from pathlib import Path
from typing import Any

from trainer.errors import ConfigError, DataError, UsageError
from trainer.json_text import json_text

_PACKAGES = ("tensorflow", "keras", "tensorflow-hub", "tensorflow-addons", "numpy")


class RunDirectory:
    """The paths of a run and its small files."""

    def __init__(self, path: str) -> None:
        self.path = Path(path)
        self.config_file = self.path / "config.json"
        self.metrics_file = self.path / "metrics.jsonl"
        self.progress_file = self.path / "progress.json"
        self.records_file = self.path / "records.jsonl"
        self.report_file = self.path / "report.json"
        self.page_file = self.path / "report.html"
        self.plots = self.path / "plots"
        self.checkpoints = self.path / "checkpoints"
        self.model = self.path / "model"
        self.tensorboard = self.path / "tensorboard"
        self.logs = self.path / "logs"

    def traces(self, rank: int) -> Path:
        """Where TensorBoard finds the traces of a worker.

        They are named by host and second, which two workers of one machine may share.
        """
        return self.tensorboard / f"worker-{rank}" if rank else self.tensorboard

    def make(self) -> None:
        """Creates the folder; raises UsageError where that cannot be.

        Nothing but logs is put in before write_config(): a run that fails before it leaves a
        folder that the next one may have.
        """
        if ":/" in str(self.path):  # pathlib has made gs:// of an address gs:/
            raise UsageError(
                f"--workdir='{self.path}': a run directory is a folder; mount the bucket, or copy "
                "the run there afterwards"
            )
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            strange = self.is_strange()
        except OSError as error:
            raise UsageError(f"--workdir='{self.path}': {error.strerror}") from None
        if strange:
            raise UsageError(
                f"--workdir='{self.path}' is not empty and not a run directory; choose another"
            )

    def is_strange(self) -> bool:
        """Whether the folder holds things, and none of a run."""
        if not self.path.is_dir() or self.config_file.exists():
            return False
        # Workers write their logs before the run begins, and a launcher has a folder of its own.
        return any(path.name not in ("launch", self.logs.name) for path in self.path.iterdir())

    def write_config(self, record: dict[str, Any]) -> None:
        """Writes config.json."""
        write_text(self.config_file, json_text(record, indent=2))

    def read_config(self) -> dict[str, Any]:
        """What write_config() wrote; raises DataError where this is no run directory."""
        try:
            record: dict[str, Any] = json.loads(self.config_file.read_text(encoding="utf-8"))
            if not isinstance(record, dict) or not {"config", "dataset"} <= record.keys():
                raise ValueError("not written by this trainer")
        except FileNotFoundError:
            raise DataError(f"no config.json in '{self.path}': not a run directory") from None
        except (OSError, ValueError) as error:
            raise DataError(f"'{self.config_file}' cannot be read: {error}") from None
        return record

    def check_same(self, changed: list[str], dataset_digest: str) -> None:
        """Raises ConfigError where a restart differs from what the run was started with."""
        before = self.read_config()["dataset"]["digest"]
        if before != dataset_digest:
            changed = [*changed, f"dataset digest ({before[:12]} -> {dataset_digest[:12]})"]
        if changed:
            raise ConfigError(
                f"'{self.path}' was started with another configuration: {'; '.join(changed)}. "
                "Give the old one, or another --workdir"
            )

    def rows(self) -> list[dict[str, Any]]:
        """The rows of metrics.jsonl that are whole."""
        rows: list[dict[str, Any]] = []
        if self.metrics_file.exists():
            for line in self.metrics_file.read_text(encoding="utf-8").splitlines():
                try:
                    rows.append(json.loads(line))
                except ValueError:
                    break  # a line torn by a kill is the last one
        return rows

    def history(self, epochs: int) -> list[dict[str, Any]]:
        """Rows of metrics.jsonl, those after `epochs` dropped from the file too: the state that
        the run goes on from does not know them.
        """
        rows = [row for row in self.rows() if row["epoch"] <= epochs]
        write_text(self.metrics_file, "".join(json_text(row) + "\n" for row in rows))
        return rows

    def append(self, row: dict[str, Any]) -> None:
        """Adds a row to metrics.jsonl."""
        with open(self.metrics_file, "a", encoding="utf-8") as file:
            file.write(json_text(row) + "\n")
            file.flush()
            os.fsync(file.fileno())


def write_text(path: Path, text: str) -> None:
    """Writes a small file so that it is whole or as it was before."""
    write_bytes(path, text.encode("utf-8"))


def write_bytes(path: Path, data: bytes) -> None:
    """The same for bytes. Several writers at a time, on any machines, do no harm: one is last."""
    # Not the process's number: in containers they are the same everywhere.
    temporary = path.with_name(f"{path.name}.tmp-{uuid.uuid4().hex}")
    with open(temporary, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)


def versions() -> dict[str, str | None]:
    """Package versions and the git commit of this code, None outside a checkout."""
    found: dict[str, str | None] = {"python": platform.python_version()}
    for package in _PACKAGES:
        found[package] = metadata.version(package)
    try:
        here = Path(__file__).resolve().parent
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
