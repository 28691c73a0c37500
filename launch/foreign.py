"""Run directories that this user did not start: their record is data, and starts nothing by itself.

What a command would do because of the record is shown, and done only with --yes. Reading the run's
files, as `status`, `logs` and `why` of a local run do, does not need --yes: the record has no
influence on which.
"""

from __future__ import annotations

import dataclasses
import shlex

from launch.backends.base import backend_of
from launch.runs.records import Record, names, read_record
from preprocess.shell.cli import say
from preprocess.shell.errors import UsageError

IN_CLUSTER = "the cluster"  # found_in of another user's run in the user's namespace
_STARTING = ("resume", "replay")
_ENDING = ("stop", "suspend")


def confirmed(command: str, record: Record, yes: bool) -> Record:
    """The record, if the command may use it.

    Args:
      command: of `launch`.
      record: of the named run; the user's own is returned unchanged.
      yes: whether the user has confirmed what the command does with a record from elsewhere.

    Raises:
      UsageError: not confirmed, or there is nothing to do.
    """
    if not record.found_in:
        return record
    effect = _effect(command, record)
    if not effect:
        return record
    where = f"the record in {record.found_in!r} belongs to a run that you did not start here"
    if not yes:
        raise UsageError(f"{where}; {command} would {effect}: confirm with --yes")
    say(f"{where}: {effect}")
    return _adopted(record) if command == "resume" and _local(record) else record


def _local(record: Record) -> bool:
    return record.spec.kind.implementation.startswith("launch.backends.local:")


def _effect(command: str, record: Record) -> str:
    """What a command would do besides reading the run directory; "" for nothing."""
    spec = record.spec
    if record.found_in == IN_CLUSTER and command != "replay":
        return ""  # the user has named it there
    if command == "replay" or (command == "resume" and _local(record)):
        variables = shlex.join(f"{name}={value}" for name, value in spec.env)
        commands = [shlex.join(command) for command in (spec.command, spec.follower) if command]
        words = f"{variables} {' and '.join(commands)}".strip()
        place = f" in {shlex.quote(record.directory)}" if command == "resume" else ""
        return f"start, with back end {spec.backend}{place}: {words}"
    if _local(record):
        if command in _ENDING:
            raise UsageError(
                f"no processes of the run in '{record.found_in}' run here: not your run"
            )
        return ""
    verb = command if command in (*_STARTING, *_ENDING) else "ask for"
    place = "Slurm" if not spec.kind.in_cluster else "the cluster of your kubeconfig"
    what = record.handle or f"{spec.backend}:{spec.namespace}/{record.name}"
    return f"{verb} {what} of {place}"


def _adopted(record: Record) -> Record:
    """A record that becomes this user's; raises UsageError if its name is in use."""
    if record.name in names():
        raise UsageError(
            f"you already have a run '{record.name}', in '{read_record(record.name).workdir}'; "
            f"`launch replay {record.found_in} --name=OTHER` starts this one under another name"
        )
    own = dataclasses.replace(record, found_in="")
    own.write(backend_of(own.spec).files(own))
    return own
