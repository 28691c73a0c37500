"""Runs on this machine, by the real command: ends of every kind, and what follows them."""

from __future__ import annotations

import json
import os
import re
import signal
from pathlib import Path

import pytest

from tests.launch import started_runs as runs
from tests.launch.started_runs import Launcher, actions, digest, disturb, gone, trains, worker


@pytest.fixture
def launch(tmp_path: Path) -> Launcher:
    return Launcher(tmp_path / "state")


def test_a_mistake_of_the_user_ends_the_run_at_once(launch, tmp_path):
    """A flag that the trainer has not: 64 from both workers, and no second life."""
    run = tmp_path / "run"
    flags = [f"--workdir={run}", "--data=x", "--config=demo", "--no_such_flag=1"]
    launch("train", "--name=wrong", "--workers=2", "--wait", "--", *flags, code=1)
    status = launch.status("wrong")
    assert (status["state"], status["restarts"], status["interruptions"]) == ("failed", 0, 0)
    assert [rank["exit_code"] for rank in status["ranks"]] == [64, 64]
    assert actions(run) == ["fail"]
    why = launch("why", "wrong")
    assert why.startswith("wrong: failed: rank 0 ended with 64") and "no_such_flag" in why
    lines = launch("logs", "wrong", "--rank=1", "--grep=no_such").splitlines()
    assert lines and all(line.startswith("[1] ") for line in lines)
    (listed,) = json.loads(launch("list", "--json"))["runs"]
    assert (listed["name"], listed["backend"], listed["state"]) == ("wrong", "local", "failed")


def test_a_second_start_of_a_failed_run_has_a_life_of_its_own(launch, tmp_path):
    """One worker, with a flag that the trainer has not, twice; each life keeps its log."""
    run = tmp_path / "run"
    words = ["train", "--name=again", "--wait", "--", f"--workdir={run}", "--data=x"]
    for flag in ("--first=1", "--second=1"):
        launch(*words, "--config=demo", flag, code=1)
    assert actions(run) == ["fail", "fail"]
    assert "first" in launch("logs", "again", "--previous")
    assert "second" in launch("logs", "again")


@pytest.mark.integration  # a minute
@pytest.mark.timeout(1800)  # a busy machine
def test_a_disturbed_run_ends_with_the_weights_of_an_undisturbed_one(
    launch, training, calm, tmp_path
):
    """Rank 1 of two is killed in life 0, which is counted, once; in life 1 it is told to end: both
    save, and nothing is counted; in life 2 the supervisor is killed, and takes the workers along;
    life 3, by `resume`, is suspended, and life 4 goes to the end.
    """
    flags = ["--workers=2", "--", *training]
    run = tmp_path / "run"
    assert launch("train", "--name=run", *flags, f"--workdir={run}") == "run\n"
    disturb(run, 0, 1, signal.SIGKILL)
    disturb(run, 1, 1, signal.SIGTERM)
    trains(run, 2)
    workers = [worker(run, 2, rank) for rank in range(2)]
    lock = tmp_path / "state" / "run" / "supervisor.lock"
    os.kill(int(lock.read_text()), signal.SIGKILL)
    runs.until("the workers end with it", lambda: all(map(gone, workers)))
    status = launch.status("run")
    assert status["state"] == "failed" and "launch resume run" in status["detail"]
    assert (status["restarts"], status["interruptions"]) == (1, 1)
    assert 0 < status["progress"]["step"] <= status["progress"]["total_steps"] == runs.STEPS
    launch("resume", "run")
    trains(run, 3)
    workers = [worker(run, 3, rank) for rank in range(2)]
    launch("suspend", "run")
    assert launch.status("run")["state"] == "suspended" and all(map(gone, workers))
    launch("resume", "run")
    launch("wait", "run")
    status = launch.status("run")
    # The life that the supervisor left behind is an interruption too.
    assert (status["state"], status["restarts"], status["interruptions"]) == ("succeeded", 1, 3)
    assert actions(run) == ["retry", "retry-uncounted", "retry-uncounted", "finished"]
    assert digest(run) == digest(calm)


@pytest.mark.slow
@pytest.mark.timeout(1800)  # a busy machine
def test_a_stopped_run_leaves_no_process_and_goes_on_only_when_told(launch, training, tmp_path):
    run = tmp_path / "run"
    launch("train", "--name=run", "--", *training, f"--workdir={run}")
    trains(run, 0)
    pid = worker(run, 0, 0)
    launch("train", "--name=run", "--", *training, f"--workdir={run}", code=64)
    launch("stop", "run")
    assert gone(pid)
    assert launch.status("run")["state"] == "stopped"
    launch("wait", "run", code=1)
    # Which of the two depends on whether it came in a step, or while its validation was traced.
    assert re.search(r"SIGTERM: (saved at step|nothing is unsaved)", launch("logs", "run"))
