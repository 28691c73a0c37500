"""The record of a run: what was asked for, with which code, and what was submitted.

    STATE/NAME/record.json     specification, handle, command line, commit, versions
    STATE/NAME/manifests.yaml  (or batch.sh) what was submitted
    STATE/NAME/source.diff     what differed from the commit

STATE is $SHARDLINE_STATE, or $XDG_STATE_HOME/shardline, or ~/.local/state/shardline. Where the
run directory is a local path the same files stand in RUN/launch too, so that a run explains
itself. No secret is recorded: a specification holds the names of secrets only.
"""

from __future__ import annotations

import dataclasses
import difflib
import json
import os
import shutil
from pathlib import Path
from typing import Any

from launch.spec import Spec
from trainer.errors import DataError, UsageError

RECORD, DIFF = "record.json", "source.diff"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Record:
    """One submitted run."""

    spec: Spec
    handle: str  # BACKEND:WHERE, "" before it is submitted
    submitted: float  # seconds since the epoch
    argv: tuple[str, ...]
    directory: str  # where the command was given
    commit: str
    versions: dict[str, str]

    @property
    def name(self) -> str:
        """The run's name, unique on this machine."""
        return self.spec.name

    @property
    def folder(self) -> Path:
        """Where it is kept."""
        return state_folder() / self.name

    @property
    def workdir(self) -> str:
        """The run directory, absolute where it is a local path; "" where there is none."""
        found = self.spec.flag("workdir")
        return found if not found or "://" in found else os.path.join(self.directory, found)

    @property
    def lives_folder(self) -> Path:
        """Where the ranks of a run write that keeps its own logs: beside what it makes, where it
        has a local run directory.
        """
        if self.workdir and "://" not in self.workdir:
            return Path(self.workdir) / "launch" / "lives"
        return self.folder / "lives"

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {**dataclasses.asdict(self), "spec": self.spec.to_dict()}

    def write(self, files: dict[str, str]) -> None:
        """Writes the record and what belongs to it, here and into a local run directory."""
        texts = {**files, RECORD: json.dumps(self.to_dict(), indent=2)}
        folders = [self.folder]
        if self.workdir and "://" not in self.workdir:
            folders.append(Path(self.workdir) / "launch")
        for folder in folders:
            folder.mkdir(parents=True, exist_ok=True)
            for name, text in texts.items():
                temporary = folder / f".{name}.tmp"
                temporary.write_text(text, encoding="utf-8")
                temporary.replace(folder / name)


def state_folder() -> Path:
    """Where records are kept on this machine."""
    if given := os.environ.get("SHARDLINE_STATE"):
        return Path(given)
    home = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(home) / "shardline"


def read_record(run: str) -> Record:
    """The record of a run by its name or its run directory.

    Raises UsageError where there is none, DataError where it cannot be read.
    """
    for folder in (state_folder() / run, Path(run) / "launch"):
        file = folder / RECORD
        if not file.is_file():
            continue
        try:
            fields = json.loads(file.read_text(encoding="utf-8"))
            fields["spec"] = Spec.from_dict(fields["spec"])
            fields["argv"] = tuple(fields["argv"])
            return Record(**fields)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DataError(f"'{file}' cannot be read: {error}") from None
    near = difflib.get_close_matches(run, names(), n=1)
    hint = f"; is it {near[0]}?" if near else "; `launch list` names the runs of this machine"
    raise UsageError(f"no run '{run}'{hint}")


def names() -> list[str]:
    """Every run recorded on this machine, sorted."""
    folder = state_folder()
    if not folder.is_dir():
        return []
    return sorted(path.name for path in folder.iterdir() if (path / RECORD).is_file())


def forget(record: Record) -> None:
    """Removes a record from this machine; the copy in the run directory stays."""
    shutil.rmtree(record.folder, ignore_errors=True)
