r"""The runs that were started from this machine, the newest first.

python -m launch list [--json]
"""

from __future__ import annotations

import time
from typing import Any

from absl import flags

from launch.records import names, read_record
from trainer.cli import no_arguments, print_json
from trainer.errors import UserError

_JSON = flags.DEFINE_bool("json", False, "Print one JSON object.")


def main(arguments: list[str]) -> None:
    """Lists them."""
    no_arguments(arguments)
    rows = sorted((_row(name) for name in names()), key=lambda row: -row["submitted"])
    if _JSON.value:
        print_json({"runs": rows})
        return
    for row in rows:
        when = time.strftime("%Y-%m-%d %H:%M", time.localtime(row["submitted"]))
        print(f"{row['name']:<44}  {row['backend']:<6}  {when}  {row['state']}")


def _row(name: str) -> dict[str, Any]:
    from launch.backends.choose import backend

    record = read_record(name)
    try:
        state = backend(record.spec.backend).status(record).state if record.handle else "not sent"
    except UserError as error:  # a cluster that cannot be reached must not hide the other runs
        state = f"unknown: {error}"
    return {
        "name": name,
        "backend": record.spec.backend,
        "submitted": record.submitted,
        "state": state,
    }
