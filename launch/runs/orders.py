"""The state that a run is meant to be in, which whoever ended it has noted: STATE/NAME/order.json.

Running, suspended or stopped. How the run really is, the back end finds out.
"""

from __future__ import annotations

import json

from launch.runs.records import Record
from launch.runs.status import RUNNING
from preprocess.shell.atomic import write_text

ORDER = "order.json"


def order(record: Record, state: str) -> None:
    """Notes it."""
    record.folder.mkdir(parents=True, exist_ok=True)
    write_text(record.folder / ORDER, json.dumps({"state": state}))


def ordered(record: Record) -> str:
    """What was noted last."""
    try:
        return str(json.loads((record.folder / ORDER).read_text(encoding="utf-8"))["state"])
    except (OSError, ValueError, KeyError):
        return RUNNING
