"""RUN/progress.json, which launchers read while a run goes on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from trainer.training import progress
from trainer.training.progress import ProgressFile


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still until it is set: `clock[0]` in seconds."""
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def test_it_is_written_once_a_second_however_many_steps_there_are(tmp_path, clock):
    """Steps 1 to 30, an eighth of a second each: written at 1, and at every eighth from there."""
    path = tmp_path / "progress.json"
    file, seen = ProgressFile(path, 40), []
    for step in range(1, 31):
        file.update(step, 1 + step // 20, step / 10)
        clock[0] = 100.0 + step / 8  # exact in binary
        seen.append(json.loads(path.read_text())["step"])
    assert sorted(set(seen)) == [1, 9, 17, 25]
    written = json.loads(path.read_text())
    assert (written["step"], written["total_steps"], written["epoch"]) == (25, 40, 2)
    assert written["seconds"] == 2.5 and written["time"] > 1.7e9
    assert [entry.name for entry in tmp_path.iterdir()] == ["progress.json"]


def test_the_last_one_is_written_at_once(tmp_path, clock):
    file = ProgressFile(tmp_path / "progress.json", 2)
    file.update(1, 1, 0.5)
    file.update(2, 1, 1.0, last=True)
    assert json.loads((tmp_path / "progress.json").read_text())["step"] == 2


def test_a_run_goes_on_where_it_cannot_be_written_and_other_workers_write_none(tmp_path, clock):
    ProgressFile(tmp_path / "none" / "progress.json", 2).update(1, 1, 0.5)
    ProgressFile(None, 2).update(1, 1, 0.5)
    assert list(tmp_path.iterdir()) == []


def test_a_finished_run_is_at_its_last_step(triplet_run):
    """Two epochs of the five steps that 33 triplets make, eight at a time."""
    written = json.loads((Path(triplet_run) / "progress.json").read_text())
    assert (written["step"], written["total_steps"], written["epoch"]) == (10, 10, 2)
