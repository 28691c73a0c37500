"""From a specification to a started run: one path, dry or not."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import os
import platform
import subprocess
import sys
import time
from pathlib import Path

from launch.backends.base import FINISHED
from launch.backends.choose import backend
from launch.records import DIFF, Record, read_record
from launch.spec import Spec
from trainer.errors import UsageError

PACKAGES = ("tensorflow", "keras", "apache-beam", "numpy")
SOURCE = Path(__file__).resolve().parents[1]


def new_record(spec: Spec) -> tuple[Record, str]:
    """The record of a run about to start, and what the source differs in from its commit."""
    commit, diff = _source()
    record = Record(
        spec=spec,
        handle="",
        submitted=time.time(),
        argv=tuple(sys.argv[1:]),
        directory=os.getcwd(),
        commit=commit,
        versions=_versions(),
    )
    return record, diff


def rendered(record: Record) -> str:
    """Everything that submitting would hand over, as text."""
    return "".join(backend(record.spec.backend).files(record).values())


def submit(record: Record, diff: str) -> Record:
    """Starts a run, and records it before and after: an interruption leaves a trace.

    Raises UsageError where a run of this name is still going.
    """
    chosen = backend(record.spec.backend)
    _refuse_running(record)
    files = chosen.files(record)
    extra = {DIFF: diff} if diff else {}
    record.write({**files, **extra})
    started = dataclasses.replace(record, handle=chosen.submit(record))
    started.write({})
    return started


def _refuse_running(record: Record) -> None:
    try:
        before = read_record(record.name)
    except UsageError:
        return
    if not before.handle:
        return
    state = backend(before.spec.backend).status(before).state
    if state not in FINISHED:
        raise UsageError(
            f"run '{record.name}' is {state} (since {time.ctime(before.submitted)}); "
            f"`launch stop {record.name}` ends it, --name=OTHER starts another"
        )


def _source() -> tuple[str, str]:
    """The commit of this code and what differs from it; empty where git does not know it."""
    if not (SOURCE / ".git").exists():
        return "", ""
    commit = _git("rev-parse", "HEAD").strip()
    return commit, _git("diff", "HEAD") if commit else ""


def _git(*arguments: str) -> str:
    try:
        return subprocess.run(
            ["git", "-C", str(SOURCE), *arguments],
            capture_output=True,
            text=True,
            check=True,
            errors="replace",
        ).stdout
    except (OSError, subprocess.CalledProcessError):
        return ""


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
