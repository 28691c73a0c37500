"""How far a training run is, from what it wrote into its run directory."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

from launch.records import Record


@dataclasses.dataclass(frozen=True)
class Progress:
    """Steps and times; seconds. None where it is not known."""

    step: int
    total_steps: int | None
    training_seconds: float
    seconds_left: float | None
    goodput: float | None  # time in steps over the time since the run was submitted


def progress(record: Record, now: float) -> Progress | None:
    """The progress of a run with a local run directory; None before its first epoch.

    It is as fresh as the last finished epoch.
    """
    if not record.workdir or "://" in record.workdir:
        return None
    row = _last_row(Path(record.workdir) / "metrics.jsonl")
    if row is None:
        return None
    step, seconds, epoch = int(row["step"]), float(row["seconds"]), int(row["epoch"])
    epochs = _epochs(Path(record.workdir) / "config.json")
    total = epochs * step // epoch if epochs else None
    left = (total - step) * seconds / step if total is not None and step else None
    wall = now - record.submitted
    return Progress(step, total, seconds, left, min(1.0, seconds / wall) if wall > 0 else None)


def _last_row(path: Path) -> dict[str, Any] | None:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    for line in reversed(lines):
        try:
            row = json.loads(line)
        except ValueError:
            continue  # a torn last line
        if isinstance(row, dict) and {"step", "seconds", "epoch"} <= row.keys():
            return row
    return None


def _epochs(path: Path) -> int | None:
    try:
        return int(json.loads(path.read_text(encoding="utf-8"))["config"]["epochs"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
