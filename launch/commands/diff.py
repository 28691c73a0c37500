r"""Prints how two runs differ: specification, flags, code and versions.

python -m launch diff RUN RUN2 [--json]
"""

from __future__ import annotations

from absl import flags

from launch.runs.again import differences
from launch.runs.records import read_record
from preprocess.shell.cli import print_json
from preprocess.shell.errors import UsageError

_JSON = flags.DEFINE_bool("json", False, "Print one JSON object.")


def main(arguments: list[str]) -> None:
    """Compares and prints."""
    if len(arguments) != 2:
        raise UsageError("launch diff RUN RUN2: two names or run directories")
    found = differences(*map(read_record, arguments))
    if _JSON.value:
        print_json({"differences": found})
        return
    for key, (one, other) in found.items():
        print(f"{key}: {one} -> {other}")
    if not found:
        print("no difference except when they were started")
