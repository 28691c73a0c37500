"""A training's progress and how it spent its time, from the files in its run directory."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

from launch.runs.records import Record
from preprocess.shell.errors import DataError
from preprocess.shell.regular_files import read_json
from trainer.monitoring.time_account import Attempt, account, read_attempts

MAX_BYTES = 1 << 20


@dataclasses.dataclass(frozen=True)
class Progress:
    """Steps, and times in seconds."""

    step: int
    total_steps: int
    training_seconds: float
    seconds_left: float
    # Time in steps that were kept, minus their wait for input, divided by the time since the run
    # was submitted.
    goodput: float | None
    queue_seconds: float | None  # from submission to its first start; None = unknown
    redone_steps: int


def progress(record: Record, now: float) -> Progress | None:
    """The progress of a run with a local run directory; None before its first step.

    Args:
      record: of the run.
      now: the current time, or when the run ended; seconds since the epoch.
    """
    if not record.workdir or "://" in record.workdir:
        return None
    path = Path(record.workdir) / "progress.json"
    try:
        found = read_json(path, MAX_BYTES)
        step, total = int(found["step"]), int(found["total_steps"])
        seconds = float(found["seconds"])
        left = (total - step) * seconds / step
    except (OSError, DataError, ValueError, KeyError, TypeError, ArithmeticError):
        return None
    if not (math.isfinite(seconds) and math.isfinite(left)):
        return None
    wall = now - record.submitted
    attempts = _attempts(record)
    spent = account(attempts)
    good = seconds if spent.goodput is None else spent.goodput * spent.wall_seconds
    return Progress(
        step=step,
        total_steps=total,
        training_seconds=seconds,
        seconds_left=left,
        goodput=min(1.0, good / wall) if wall > 0 else None,
        queue_seconds=max(0.0, attempts[0].start - record.submitted) if attempts else None,
        redone_steps=spent.redone_steps,
    )


def _attempts(record: Record) -> list[Attempt]:
    """The attempts of rank 0 since the run was submitted; [] if an earlier version trains.

    One that has not ended counts up to its last sign of life: it may be dead by now.
    """
    path = Path(record.workdir) / "timeline" / "worker-0.jsonl"
    try:
        attempts = read_attempts(path)
    except OSError:
        return []
    return [each for each in attempts if each.end > record.submitted]
