"""Replays a run from its record, and compares two runs."""

from __future__ import annotations

import dataclasses
from typing import Any

from launch.runs.records import Record
from launch.spec import Spec
from preprocess.shell.errors import UsageError


def replayed(spec: Spec, name: str) -> Spec:
    """The same run under another name and with its own run directory; raises UsageError."""
    if name == spec.name:
        raise UsageError(f"--name={name} is the run itself; choose another name")
    arguments = tuple(
        f"{word.rstrip('/')}-{name}" if word.startswith("--workdir=") else word
        for word in spec.arguments
    )
    return dataclasses.replace(spec, name=name, arguments=arguments)


def differences(one: Record, other: Record) -> dict[str, tuple[Any, Any]]:
    """The two values of every key that differs."""
    a, b = _flat(one), _flat(other)
    return {k: (a.get(k), b.get(k)) for k in sorted(a.keys() | b.keys()) if a.get(k) != b.get(k)}


def _flat(record: Record) -> dict[str, Any]:
    spec = record.spec.to_dict()
    own_files = {f"sha256 of {own['path']}": own["sha256"] for own in spec.pop("own_files", ())}
    arguments = dict(word.partition("=")[::2] for word in spec.pop("arguments"))
    return {
        "commit": record.commit,
        "directory": record.directory,
        **spec,
        **arguments,
        **own_files,
        **{f"version of {name}": value for name, value in record.versions.items()},
    }
