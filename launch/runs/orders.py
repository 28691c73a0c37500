"""The state that a run should be in, as the user last ordered: STATE/NAME/order.json.

Running, suspended or stopped. The back end determines the actual state.
"""

from __future__ import annotations

import json

from launch.runs.records import Record
from launch.runs.status import RUNNING
from preprocess.shell.atomic import write_text

ORDER = "order.json"


def order(record: Record, state: str) -> None:
    """Saves the order."""
    record.folder.mkdir(parents=True, exist_ok=True)
    write_text(record.folder / ORDER, json.dumps({"state": state}))


def ordered(record: Record) -> str:
    """The last order."""
    try:
        return str(json.loads((record.folder / ORDER).read_text(encoding="utf-8"))["state"])
    except (OSError, ValueError, KeyError):
        return RUNNING
