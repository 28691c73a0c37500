"""What every verb that starts something does with its specification."""

from __future__ import annotations

import sys
from typing import Any

from absl import flags

from launch.runs.records import Record
from launch.spec import Spec
from launch.submit import new_record, rendered, submit
from launch.watch import follow, wait
from preprocess.shell.cli import print_json, say

DRY_RUN = flags.DEFINE_bool("dry_run", False, "Print what would be submitted, and submit nothing.")
WAIT = flags.DEFINE_bool("wait", False, "Wait for the end; exit with 1 if the run failed.")
FOLLOW = flags.DEFINE_bool("follow", False, "Print the workers' output, and wait.")
JSON = flags.DEFINE_bool("json", False, "Print one JSON object.")

FAILED_RUN = 1


def start(spec: Spec) -> None:
    """Renders and, unless --dry_run, submits; then waits or follows if requested."""
    record, diff = new_record(spec)
    if DRY_RUN.value:
        print(rendered(record), end="")
        return
    record = submit(record, diff)
    say(f"submitted {record.name} ({record.handle}); run `launch status {record.name}` to check it")
    if JSON.value:
        print_json(described(record))
    else:
        print(record.name)
    sys.stdout.flush()
    if FOLLOW.value:
        follow(record)
    if WAIT.value or FOLLOW.value:
        sys.exit(0 if wait(record) else FAILED_RUN)


def described(record: Record) -> dict[str, Any]:
    """The JSON output for a run that was started."""
    return {"name": record.name, "handle": record.handle, "backend": record.spec.backend}
