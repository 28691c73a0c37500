"""How a run ended: STATE/NAME/end.json, since a cluster forgets its runs."""

from __future__ import annotations

import dataclasses
import json

from launch.runs.records import RECORD, Record
from launch.runs.status import Status
from preprocess.shell.atomic import write_text

END = "end.json"


def keep_end(record: Record, status: Status) -> None:
    """Saves the status of a run that is over, if this machine has its record."""
    if (record.folder / RECORD).is_file() and kept_end(record) is None:
        fields = dataclasses.asdict(dataclasses.replace(status, ranks=()))
        text = json.dumps({"submitted": record.submitted, "status": fields})
        write_text(record.folder / END, text)


def kept_end(record: Record) -> Status | None:
    """The saved status of exactly this run, not of an earlier one of that name."""
    try:
        found = json.loads((record.folder / END).read_text(encoding="utf-8"))
        if found["submitted"] != record.submitted:
            return None
        return Status(**{**found["status"], "ranks": ()})
    except (OSError, ValueError, KeyError, TypeError):
        return None
