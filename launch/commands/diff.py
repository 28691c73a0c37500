r"""How two runs differ: specification, flags, code and versions.

python -m launch diff RUN RUN2 [--json]
"""

from __future__ import annotations

from typing import Any

from absl import flags

from launch.records import Record, read_record
from trainer.cli import print_json
from trainer.errors import UsageError

_JSON = flags.DEFINE_bool("json", False, "Print one JSON object.")


def main(arguments: list[str]) -> None:
    """Compares and tells."""
    if len(arguments) != 2:
        raise UsageError("launch diff RUN RUN2: two names or run directories")
    found = differences(*map(read_record, arguments))
    if _JSON.value:
        print_json({"differences": found})
        return
    for key, (one, other) in found.items():
        print(f"{key}: {one} -> {other}")
    if not found:
        print("the same but for when they were started")


def differences(one: Record, other: Record) -> dict[str, tuple[Any, Any]]:
    """Key -> the two values, where they differ."""
    a, b = _flat(one), _flat(other)
    return {k: (a.get(k), b.get(k)) for k in sorted(a.keys() | b.keys()) if a.get(k) != b.get(k)}


def _flat(record: Record) -> dict[str, Any]:
    spec = record.spec.to_dict()
    arguments = dict(word.partition("=")[::2] for word in spec.pop("arguments"))
    return {
        "commit": record.commit,
        "directory": record.directory,
        **spec,
        **arguments,
        **{f"version of {name}": value for name, value in record.versions.items()},
    }
