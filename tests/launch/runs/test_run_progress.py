"""What `launch status` knows of a run from the files in its run directory."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from launch.runs.records import Record
from launch.runs.run_progress import progress
from tests.launch.made import spec


def run_directory(path: Path, **progress_json: float) -> Record:
    """A run that was submitted at 1000 and has a progress.json."""
    path.mkdir()
    (path / "progress.json").write_text(json.dumps(progress_json))
    made = spec(backend="local", arguments=(f"--workdir={path}",), workers=1)
    return Record(spec=made, handle="local:x", submitted=1000.0, argv=(), directory="/", commit="",
                  versions={})  # fmt: skip


def write_timeline(path: Path, *lines: dict[str, object]) -> None:
    (path / "timeline").mkdir()
    text = "".join(f"{json.dumps(line)}\n" for line in lines)
    (path / "timeline" / "worker-0.jsonl").write_text(text)


def test_goodput_is_of_the_time_since_the_run_was_submitted(tmp_path):
    """Begun 100 s after it was submitted, 20 s until the first step, 80 s in steps of which 16 s
    wait: 64 of 200 s.
    """
    record = run_directory(tmp_path / "run", step=40, total_steps=100, seconds=80.0)
    write_timeline(
        tmp_path / "run",
        {"at": 1100.0, "activity": "start", "attempt": True},
        {"at": 1120.0, "activity": "steps", "step": 0},
        {"at": 1200.0, "activity": "end", "step": 40, "waited": 16.0, "finished": True},
    )
    found = progress(record, 1200.0)
    assert found is not None
    assert found.goodput == pytest.approx(64 / 200)
    assert found.queue_seconds == pytest.approx(100)
    assert found.seconds_left == pytest.approx(120)
    assert found.redone_steps == 0


def test_a_killed_attempt_counts_up_to_when_it_was_last_seen(tmp_path):
    """In steps from 1020 on, last seen at 1100, looked at 100 s later: 80 of 200 s."""
    record = run_directory(tmp_path / "run", step=40, total_steps=100, seconds=80.0)
    write_timeline(
        tmp_path / "run",
        {"at": 1000.0, "activity": "start", "attempt": True},
        {"at": 1020.0, "activity": "steps", "step": 0},
    )
    note = {"at": 1100.0, "activity": "steps", "step": 40}
    (tmp_path / "run" / "timeline" / "worker-0.now").write_text(json.dumps(note))
    found = progress(record, 1200.0)
    assert found is not None
    assert found.goodput == pytest.approx(80 / 200)


def test_attempts_before_it_was_submitted_are_another_run_s(tmp_path):
    """The first ended before: the run directory had been trained in by hand."""
    record = run_directory(tmp_path / "run", step=40, total_steps=100, seconds=80.0)
    write_timeline(
        tmp_path / "run",
        {"at": 500.0, "activity": "start", "attempt": True},
        {"at": 520.0, "activity": "steps", "step": 0},
        {"at": 600.0, "activity": "end", "step": 20, "finished": True},
        {"at": 1010.0, "activity": "start", "attempt": True},
        {"at": 1020.0, "activity": "steps", "step": 20},
        {"at": 1100.0, "activity": "end", "step": 40, "finished": True},
    )
    found = progress(record, 1100.0)
    assert found is not None
    assert found.goodput == pytest.approx(0.8)
    assert found.queue_seconds == pytest.approx(10)


def test_without_a_timeline_the_seconds_of_steps_are_taken(tmp_path):
    record = run_directory(tmp_path / "run", step=40, total_steps=100, seconds=80.0)
    found = progress(record, 1100.0)
    assert found is not None
    assert (found.goodput, found.queue_seconds) == (pytest.approx(0.8), None)
