"""The record of a run: what was requested, with which code, and what was submitted.

    STATE/NAME/record.json     specification, handle, command line, commit, versions
    STATE/NAME/manifests.yaml  (or batch.sh) what was submitted
    STATE/NAME/source.diff     changes relative to the commit
    STATE/NAME/own_files.json  what the pods were sent of the user's own code, by sha256

STATE is $SHARDLINE_STATE, or $XDG_STATE_HOME/shardline, or ~/.local/state/shardline. If the run
directory is a folder of this machine (not of a cluster's pods) the same files are in RUN/launch
too, so that a run documents itself. Secrets are not recorded: a specification has only their names.
The files are readable only by their owner, since --env and a diff may contain private data.

A run directory may come from elsewhere. Its record is then only data (launch/foreign.py).
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import os
import shutil
from pathlib import Path
from typing import Any

from launch.own_files import with_texts
from launch.spec import MALFORMED, Spec, is_name
from preprocess.shell.atomic import write_text
from preprocess.shell.errors import DataError, UsageError
from preprocess.shell.nearest import did_you_mean
from preprocess.shell.regular_files import read_json
from preprocess.shell.user_state import state_folder

RECORD, DIFF, OWN_FILES = "record.json", "source.diff", "own_files.json"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Record:
    """One submitted run."""

    spec: Spec
    handle: str  # BACKEND:WHERE, "" before it is submitted
    submitted: float  # seconds since the epoch
    argv: tuple[str, ...]
    directory: str  # where the command was called
    commit: str
    versions: dict[str, str]
    owner: str = ""  # USER@HOST that submitted it; "" in records of earlier versions
    found_in: str = ""  # where it was read, unless it is this user's record

    @property
    def name(self) -> str:
        """The run's name, unique on this machine."""
        return self.spec.name

    @property
    def folder(self) -> Path:
        """Its folder; for one found elsewhere a folder separate from this user's runs."""
        if self.found_in:
            mark = hashlib.sha256(self.found_in.encode("utf-8", "surrogateescape")).hexdigest()
            return state_folder() / ".foreign" / mark[:16]
        return state_folder() / self.name

    @property
    def workdir(self) -> str:
        """The run directory, absolute if it is a local path; "" if there is none."""
        if self.found_in and not self.spec.kind.in_cluster:
            return self.found_in
        found = self.spec.flag("workdir")
        return found if not found or "://" in found else os.path.join(self.directory, found)

    @property
    def run_directory(self) -> Path | None:
        """The run directory if it is on this machine: that of a cluster's run is in its pods."""
        if self.spec.kind.in_cluster or not self.workdir or "://" in self.workdir:
            return None
        return Path(self.workdir)

    @property
    def attempts_folder(self) -> Path:
        """Where ranks write their logs and exit codes: in the run directory if it is local,
        otherwise in the state folder.
        """
        run = self.run_directory
        return run / "launch" / "lives" if run else self.folder / "lives"

    def age(self, now: float) -> str:
        """Time since it was submitted in the largest unit that fits: `3 d`, `5 h`, `12 min`."""
        seconds = max(0.0, now - self.submitted)
        for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
            if seconds >= size:
                return f"{seconds // size:.0f} {unit}"
        return f"{seconds:.0f} s"

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        fields = {**dataclasses.asdict(self), "spec": self.spec.to_dict()}
        del fields["found_in"]
        return fields

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> Record:
        """The inverse; raises one of MALFORMED for invalid data."""
        spec, argv = Spec.from_dict(fields["spec"]), tuple(fields["argv"])
        texts = [fields["handle"], fields["directory"], fields["commit"], *argv]
        texts.append(fields.get("owner", ""))
        texts += [*fields["versions"].keys(), *fields["versions"].values()]
        if not all(isinstance(text, str) for text in texts):
            raise TypeError("a value is not text")
        if not math.isfinite(fields["submitted"]):
            raise ValueError("submitted is not a time")
        return cls(**{**fields, "spec": spec, "argv": argv, "found_in": ""})

    def with_own_texts(self) -> Record:
        """With what was in its own files, as far as it is recorded here."""
        if not self.spec.own_files:
            return self
        try:
            texts = read_json(self.folder / OWN_FILES, follow=False)
            known = {k: v for k, v in texts.items() if isinstance(v, str)}
        except (OSError, DataError, AttributeError):
            return self
        return dataclasses.replace(self, spec=with_texts(self.spec, known))

    def write(self, files: dict[str, str]) -> None:
        """Writes the record and its files, here and into a local run directory."""
        texts = {**files, RECORD: json.dumps(self.to_dict(), indent=2)}
        if own := {file.sha256: file.text for file in self.spec.own_files}:
            texts[OWN_FILES] = json.dumps(own)
        folders = [self.folder]
        if run := self.run_directory:
            folders.append(run / "launch")
        for folder in folders:
            folder.mkdir(parents=True, exist_ok=True)
            for name, text in texts.items():
                write_text(folder / name, text, private=True)


def read_record(run: str) -> Record:
    """The record of a run by its name or its run directory.

    Raises UsageError if there is none, DataError if it cannot be read.
    """
    if is_name(run) and (own := _read(state_folder() / run)):
        return own
    if there := _read(Path(run) / "launch"):
        own = _read(state_folder() / there.name)
        return own if own == there else dataclasses.replace(there, found_in=os.path.abspath(run))
    hint = did_you_mean(run, names()) or "; `launch list` names the runs of this machine"
    raise UsageError(f"no run '{run}'{hint}")


def _read(folder: Path) -> Record | None:
    """The record in a folder; None if there is none."""
    file = folder / RECORD
    if not os.path.lexists(file):
        return None
    try:
        return Record.from_dict(read_json(file, follow=False))
    except FileNotFoundError:
        return None
    except MALFORMED as error:
        raise DataError(f"'{file}' is not a record of a run: {error}") from None


def names() -> list[str]:
    """Every run recorded on this machine, sorted."""
    folder = state_folder()
    if not folder.is_dir():
        return []
    return sorted(path.name for path in folder.iterdir() if (path / RECORD).is_file())


def forget(record: Record) -> None:
    """Removes a record from this machine; the copy in the run directory stays."""
    shutil.rmtree(record.folder, ignore_errors=True)
