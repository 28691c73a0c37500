"""How far a training run is, from the progress.json in its run directory."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

from launch.records import Record


@dataclasses.dataclass(frozen=True)
class Progress:
    """Steps, and times in seconds."""

    step: int
    total_steps: int
    training_seconds: float
    seconds_left: float
    goodput: float | None  # time in steps over the time since the run was submitted


def progress(record: Record, now: float) -> Progress | None:
    """The progress of a run with a local run directory; None before its first step.

    Args:
      record: of the run.
      now: when it is asked, or when the run ended; seconds since the epoch.
    """
    if not record.workdir or "://" in record.workdir:
        return None
    path = Path(record.workdir) / "progress.json"
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        step, total, seconds = found["step"], found["total_steps"], found["seconds"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    wall = now - record.submitted
    return Progress(
        step=step,
        total_steps=total,
        training_seconds=seconds,
        seconds_left=(total - step) * seconds / step,
        goodput=min(1.0, seconds / wall) if wall > 0 else None,
    )
