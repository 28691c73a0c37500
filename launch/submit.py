"""From a specification to a started run: one code path, dry or not."""

from __future__ import annotations

import dataclasses
import getpass
import importlib.metadata
import os
import platform
import socket
import subprocess
import sys
import time
from pathlib import Path

from launch.backends.base import NotSent, backend_of
from launch.own_files import with_own_files
from launch.runs.records import DIFF, Record, forget, read_record
from launch.runs.status import FINISHED
from launch.spec import Spec
from preprocess.shell.errors import UsageError

PACKAGES = ("tensorflow", "keras", "apache-beam", "numpy")
SOURCE = Path(__file__).resolve().parents[1]


def new_record(spec: Spec) -> tuple[Record, str]:
    """The record of a run that is about to start, and the changes relative to its commit.

    Raises a UserError if it names a file that its workers cannot have.
    """
    spec = with_own_files(spec)
    commit, diff = _source()
    record = Record(
        spec=spec,
        handle="",
        submitted=time.time(),
        argv=tuple(sys.argv[1:]),
        directory=os.getcwd(),
        commit=commit,
        versions=_versions(),
        owner=_owner(),
    )
    return record, diff


def rendered(record: Record) -> str:
    """Everything that would be submitted, as text."""
    return "".join(backend_of(record.spec).files(record).values())


def submit(record: Record, diff: str) -> Record:
    """Starts a run, and records it before and after: an interruption leaves a trace.

    Raises UsageError if a run of this name has not ended, NotSent if it is rejected; then it leaves
    no record.
    """
    chosen = backend_of(record.spec)
    before = _before(record)
    if before:
        _refuse_running(before)
    files = chosen.files(record)
    extra = {DIFF: diff} if diff else {}
    record.write({**files, **extra})
    try:
        started = dataclasses.replace(record, handle=chosen.submit(record))
    except NotSent:
        if before:
            before.write(backend_of(before.spec).files(before))
        else:
            forget(record)
        raise
    started.write({})
    return started


def _before(record: Record) -> Record | None:
    """The record of the earlier run of that name; None if there is none."""
    try:
        before = read_record(record.name)
        return None if before.found_in else before.with_own_texts()
    except UsageError:
        return None


def _refuse_running(before: Record) -> None:
    if not before.handle:
        return
    state = backend_of(before.spec).status(before).state
    if state not in FINISHED:
        raise UsageError(
            f"run '{before.name}' is {state} (since {time.ctime(before.submitted)}); "
            f"`launch stop {before.name}` ends it, or choose another name with --name=OTHER"
        )


def _owner() -> str:
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a user without a name, as in many containers
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"


def _source() -> tuple[str, str]:
    """The commit of this code and the changes relative to it; empty outside of git."""
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
