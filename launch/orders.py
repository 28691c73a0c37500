"""The state that a run is meant to be in, which whoever ended it has noted: STATE/NAME/order.json.

Running, suspended or stopped. How the run really is, the back end finds out.
"""

from __future__ import annotations

import json

from launch.backends.base import RUNNING
from launch.records import Record

ORDER = "order.json"


def order(record: Record, state: str) -> None:
    """Notes it."""
    record.folder.mkdir(parents=True, exist_ok=True)
    temporary = record.folder / f".{ORDER}"
    temporary.write_text(json.dumps({"state": state}), encoding="utf-8")
    temporary.replace(record.folder / ORDER)


def ordered(record: Record) -> str:
    """What was noted last."""
    try:
        return str(json.loads((record.folder / ORDER).read_text(encoding="utf-8"))["state"])
    except (OSError, ValueError, KeyError):
        return RUNNING
