"""A run directory from elsewhere is data: looking at it, or resuming it, starts nothing of its."""

from __future__ import annotations

import dataclasses
import json
import os
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from launch.backends import slurm
from launch.backends.local import Local
from launch.foreign import confirmed
from launch.runs.records import RECORD, Record, read_record
from launch.runs.run_progress import progress
from launch.runs.status import LogQuery
from launch.supervisor.attempts import Attempts
from launch.supervisor.log_files import CHUNK, read_logs
from preprocess.shell.errors import DataError, UsageError
from tests.launch.made import spec

ROOT = Path(__file__).parents[3]
COMMANDS = ("status", "why", "logs", "wait", "stop", "suspend", "resume", "replay")
ENDED = {"rank": 0, "pid": 1, "started": 1.0, "ended": 2.0, "exit_code": 1, "host": "far"}


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SHARDLINE_STATE", str(tmp_path / "state"))
    return tmp_path / "state"


def record(run: Path, **changes: Any) -> Record:
    made = spec(**{"backend": "local", "arguments": (f"--workdir={run}",), "workers": 1, **changes})
    handle = {"slurm": "slurm:7"}.get(made.backend, f"{made.backend}:x")
    return Record(spec=made, handle=handle, submitted=1.0, argv=(), directory="/", commit="",
                  versions={})  # fmt: skip


def from_elsewhere(run: Path, changes: dict[str, Any] | None = None, **of_spec: Any) -> Path:
    """A run directory as another machine wrote it, its record changed by hand."""
    fields = record(run, **of_spec).to_dict()
    (run / "launch" / "lives" / "000").mkdir(parents=True)
    (run / "launch" / RECORD).write_text(json.dumps({**fields, **(changes or {})}))
    return run


def test_ones_own_run_is_the_same_by_name_and_by_directory(tmp_path):
    own = record(tmp_path / "run")
    own.write({})
    for run in ("fec", str(tmp_path / "run")):
        assert read_record(run) == own
        assert confirmed("resume", read_record(run), yes=False) == own


def test_a_record_from_elsewhere_keeps_apart_from_ones_own_run_of_that_name(tmp_path, state):
    own = record(tmp_path / "mine")
    own.write({})
    run = from_elsewhere(tmp_path / "far")
    found = read_record(str(run))
    assert found.found_in == str(run)
    assert found.folder != own.folder
    assert found.attempts_folder == run / "launch" / "lives"
    with pytest.raises(UsageError, match="run here: not your run"):
        confirmed("stop", found, yes=True)
    with pytest.raises(UsageError, match="you already have a run 'fec'"):
        confirmed("resume", found, yes=True)
    assert read_record("fec") == own


def test_a_name_is_no_path(tmp_path, state):
    """A folder that is called like a name's place in the state is a run directory all the same."""
    run = from_elsewhere(tmp_path / "far")
    os.rename(run / "launch" / RECORD, run / RECORD)
    for path in (str(run), os.path.relpath(run, state)):
        with pytest.raises(UsageError, match="no run"):
            read_record(path)


@pytest.mark.parametrize("name", ["x" * 5000, "a\0b", "\x1b[2J", "../../etc", ""])
def test_a_name_that_no_run_can_have_is_refused_in_a_line(name):
    with pytest.raises(UsageError, match="no run"):
        read_record(name)


def test_a_record_cannot_say_that_it_is_ones_own(tmp_path):
    run = from_elsewhere(tmp_path / "far", {"found_in": ""})
    assert read_record(str(run)).found_in == str(run)


@pytest.mark.parametrize("command", ["resume", "replay"])
def test_what_a_record_would_start_is_shown_and_wants_a_yes(tmp_path, command):
    run = from_elsewhere(tmp_path / "far", env=(("LD_PRELOAD", "/tmp/x.so"),))
    with pytest.raises(UsageError) as refusal:
        confirmed(command, read_record(str(run)), yes=False)
    for word in ("LD_PRELOAD=/tmp/x.so python -m trainer train", f"--workdir={run}", "--yes"):
        assert word in str(refusal.value)


@pytest.mark.parametrize("backend", ["slurm", "job"])
@pytest.mark.parametrize("command", COMMANDS)
def test_nothing_is_asked_of_a_cluster_because_of_a_record_without_a_yes(
    tmp_path, backend, command
):
    found = read_record(str(from_elsewhere(tmp_path / "far", backend=backend)))
    with pytest.raises(UsageError, match="confirm with --yes"):
        confirmed(command, found, yes=False)
    assert confirmed(command, found, yes=True) == found


@pytest.mark.parametrize("handle", ["slurm:--version", "slurm:7 8", "slurm:", "local:/x",
                                    "slurm:7\n", "slurm:7;x", "slurm:٧"])  # fmt: skip
def test_slurm_is_handed_numbers_of_jobs_only(tmp_path, monkeypatch, handle):
    monkeypatch.setattr(slurm, "_run", lambda *_: pytest.fail("Slurm was called"))
    found = read_record(str(from_elsewhere(tmp_path / "far", {"handle": handle}, backend="slurm")))
    for act in (slurm.Slurm().status, slurm.Slurm().stop, slurm.Slurm().resume):
        with pytest.raises(DataError, match="has no Slurm job") as refusal:
            act(found)
        assert str(refusal.value).isprintable()


@pytest.mark.parametrize("changes", [
    {"handle": 7}, {"directory": None}, {"argv": [1]}, {"versions": {"python": 3}},
    {"submitted": "x"}, {"submitted": float("inf")}, {"spec": []}, {"more": 1}, {"commit": {}},
    {"versions": []},
])  # fmt: skip
def test_a_record_of_wrong_types_is_bad_data(tmp_path, changes):
    with pytest.raises(DataError, match="is not a record of a run"):
        read_record(str(from_elsewhere(tmp_path / "far", changes)))


@pytest.mark.parametrize("kind", ["pipe", "link", "folder", "deep"])
def test_a_record_that_is_no_plain_file_is_bad_data(tmp_path, kind):
    file = from_elsewhere(tmp_path / "far") / "launch" / RECORD
    file.rename(tmp_path / "other")
    if kind == "pipe":
        os.mkfifo(file)
    elif kind == "link":
        file.symlink_to(tmp_path / "other")
    elif kind == "folder":
        file.mkdir()
    else:
        file.write_text("[" * 100_000)
    with pytest.raises(DataError, match=RECORD):
        read_record(str(tmp_path / "far"))


@pytest.mark.parametrize("fields", [
    {}, [], {"rank": 0}, {**ENDED, "more": 1}, {**ENDED, "rank": "0"}, {**ENDED, "exit_code": "x"},
    {**ENDED, "pid": 1.5}, {**ENDED, "started": None}, {**ENDED, "ended": 10**400},
    {**ENDED, "host": 5}, {**ENDED, "rank": True},
])  # fmt: skip
def test_a_rank_noted_in_another_form_is_left_out(tmp_path, fields):
    run = from_elsewhere(tmp_path / "far")
    (run / "launch/lives/000/rank-00000.json").write_text(json.dumps(fields))
    (run / "launch/lives/000/life.json").write_text(json.dumps(fields))
    (run / "launch/lives/²²²").mkdir()
    found = read_record(str(run))
    assert Local().status(found).ranks == ()
    assert Local().why(found).startswith("failed")


def test_an_exit_code_that_no_signal_has_is_told_as_a_number(tmp_path):
    run = from_elsewhere(tmp_path / "far")
    (run / "launch/lives/000/rank-00000.json").write_text(json.dumps({**ENDED, "exit_code": -999}))
    assert Local().status(read_record(str(run))).ranks[0].detail == "was killed by signal 999"


@pytest.mark.parametrize("fields", [{"step": 0, "total_steps": 1, "seconds": 1},
                                    {"step": "x", "total_steps": 1, "seconds": 1}, {}, [],
                                    {"step": 1, "total_steps": 1, "seconds": float("nan")},
                                    {"step": 1, "total_steps": 10**400, "seconds": 1}])  # fmt: skip
def test_progress_that_is_none_is_left_out(tmp_path, fields):
    run = from_elsewhere(tmp_path / "far")
    (run / "progress.json").write_text(json.dumps(fields))
    assert progress(read_record(str(run)), 5.0) is None


@pytest.mark.parametrize("kind", ["pipe", "link"])
def test_logs_are_read_from_plain_files_only(tmp_path, kind):
    log = from_elsewhere(tmp_path / "far") / "launch/lives/000/rank-00000.log"
    (tmp_path / "private").write_text("private\n")
    os.mkfifo(log) if kind == "pipe" else log.symlink_to(tmp_path / "private")
    attempts = Attempts(log.parents[1])
    with pytest.raises(DataError, match=r"rank-00000\.log"):
        list(read_logs([attempts], LogQuery(), lambda: True))
    assert Local().why(read_record(str(tmp_path / "far"))).startswith("failed")


def test_a_line_without_an_end_is_cut(tmp_path):
    log = from_elsewhere(tmp_path / "far") / "launch/lives/000/rank-00000.log"
    log.write_bytes(b"x" * (CHUNK + 5) + b"\nlast\n")
    lines = [len(x.text) for x in read_logs([Attempts(log.parents[1])], LogQuery(), bool)]
    assert lines == [CHUNK, 5, 4]


def test_records_can_be_read_by_their_owner_alone(tmp_path, state):
    old = os.umask(0o022)
    try:
        record(tmp_path / "run").write({"batch.sh": "x", "source.diff": "y"})
    finally:
        os.umask(old)
    for folder in (state / "fec", tmp_path / "run" / "launch"):
        for file in folder.iterdir():
            assert stat.S_IMODE(file.stat().st_mode) == 0o600


def launch(*words: str) -> Any:
    command = [sys.executable, "-m", "launch", *words]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_no_command_of_a_run_from_elsewhere_runs_what_its_record_says(tmp_path):
    """Its configuration is code, which would leave a mark; --yes runs it, to the mark."""
    mark, config = tmp_path / "mark", tmp_path / "c.py"
    config.write_text(f"open({str(mark)!r}, 'w'); raise SystemExit(78)")
    words = (f"--config={config}", "--data=d", f"--workdir={tmp_path / 'far'}")
    here_now = {"directory": str(tmp_path), "submitted": time.time()}
    run = from_elsewhere(tmp_path / "far", here_now, arguments=words)
    for command in ("status", "resume", "replay"):
        more = ("--name=other",) if command == "replay" else ()
        done = launch(command, str(run), *more)
        assert "Traceback" not in done.stderr
        assert done.returncode == (0 if command == "status" else 64), (command, done.stderr)
    assert not mark.exists()
    assert launch("resume", "--yes", str(run)).returncode == 0
    launch("wait", "fec")
    assert mark.exists()
    assert dataclasses.replace(read_record(str(run)), found_in="") == read_record("fec")
