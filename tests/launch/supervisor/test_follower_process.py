"""The follower that `launch train --augment_workers=N` keeps next to a training."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from launch.supervisor.attempts import Attempts
from launch.supervisor.follower_process import with_follower
from tests.launch.followed_runs import FOLLOWED, PASSES, attempts_of, flags_of, follower
from tests.launch.started_runs import Launcher, digest, gone, trains, until, worker
from tests.trainer import datasets, live_runs

# Says that it is there with a number of its own, and what it does at SIGTERM.
OBEDIENT = "trap 'echo told; exit 75' TERM; echo there $$; while :; do sleep 0.05; done"
STUBBORN = "trap 'echo told' TERM; echo there $$; while :; do sleep 0.05; done"


@pytest.fixture
def keeper(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Of OBEDIENT, with pauses of hundredths of a second."""
    process = keeping(tmp_path, OBEDIENT)
    yield process
    process.kill()
    process.wait()


def keeping(
    folder: Path, script: str, *flags: str, attempts: bool = True
) -> subprocess.Popen[bytes]:
    """A keeper of a follower that is a shell script; its messages go to FOLDER.said."""
    code = (
        "from launch.supervisor import follower_process as f; "
        "f.SHORTEST_PAUSE = f.LONGEST_PAUSE = 0.02; f.GRACE_SECONDS = 0.5; f.main()"
    )
    place = [f"--attempts={folder}"] if attempts else []
    with open(f"{folder}.said", "wb") as said:
        return subprocess.Popen(
            [
                *(sys.executable, "-c", code, *place, *flags),
                *("--", "bash", "-c", script),
            ],
            env={**os.environ, "PYTHONPATH": str(datasets.REPOSITORY)},
            stderr=said,
        )


def starts(folder: Path) -> list[int]:
    """The processes that said that they are there."""
    log = Attempts(folder).follower_log
    lines = log.read_text().splitlines() if log.exists() else []
    return [int(line.split()[1]) for line in lines if line.startswith("there")]


def test_a_killed_follower_is_started_again_and_told_to_end_with_its_keeper(tmp_path, keeper):
    until("the follower is there", lambda: len(starts(tmp_path)) == 1)
    os.kill(starts(tmp_path)[0], signal.SIGKILL)
    until("it is there again", lambda: len(starts(tmp_path)) == 2)
    until("and recorded", lambda: recorded(tmp_path) == (starts(tmp_path)[1], None))
    assert Attempts(tmp_path).follower_state() == "running"
    said = Path(f"{tmp_path}.said")
    assert "the follower was killed by SIGKILL; it starts again in" in said.read_text()
    lines = Attempts(tmp_path).follower_log.read_text().splitlines()
    assert lines[1:2] == ["the follower was killed by SIGKILL; starting it again"]
    keeper.send_signal(signal.SIGTERM)
    assert keeper.wait(60) == 0
    first, second = starts(tmp_path)  # and no third
    assert gone(first) and gone(second)
    assert recorded(tmp_path) == (second, 75)
    assert Attempts(tmp_path).follower_state() == "ended with 75, starts again: told"


def recorded(folder: Path) -> tuple[int, int | None]:
    """Process and exit code of the last follower."""
    status = Attempts(folder).follower()
    return (status.pid, status.exit_code) if status else (0, None)


def test_a_follower_that_does_not_end_is_killed_after_its_grace(tmp_path):
    keeper = keeping(tmp_path, STUBBORN)
    try:
        until("the follower is there", lambda: len(starts(tmp_path)) == 1)
        keeper.send_signal(signal.SIGTERM)
        assert keeper.wait(60) == 0
    finally:
        keeper.kill()
        keeper.wait()
    assert recorded(tmp_path)[1] == -signal.SIGKILL
    assert "told" in Attempts(tmp_path).follower_log.read_text()


def test_without_a_folder_of_attempts_the_keeper_ends_where_trying_again_cannot_help(tmp_path):
    """70 ends the container, which the kubelet starts again; 1 does not."""
    log = tmp_path / "log"
    script = f"echo >> {log}; test $(wc -l < {log}) -lt 3 && exit 1; exit 70"
    keeper = keeping(tmp_path, script, attempts=False)
    try:
        assert keeper.wait(60) == 70
    finally:
        keeper.kill()
        keeper.wait()
    said = Path(f"{tmp_path}.said").read_text().splitlines()
    assert [line.partition(";")[0] for line in said] == [
        *("the follower ended with 1", "the follower ended with 1", "the follower ended with 70")
    ]


def test_a_follower_that_cannot_be_started_is_tried_again(tmp_path):
    """A file where its folder should be, until it is removed."""
    folder = tmp_path / "lives"
    folder.touch()
    keeper = keeping(folder, OBEDIENT)
    try:
        said = Path(f"{folder}.said")
        until("it is told", lambda: said.read_text().count("could not be started") > 1)
        folder.unlink()
        until("the follower is there", lambda: len(starts(folder)) == 1)
        keeper.send_signal(signal.SIGTERM)
        assert keeper.wait(60) == 0
    finally:
        keeper.kill()
        keeper.wait()


def test_a_follower_is_kept_where_its_state_cannot_be_recorded(tmp_path):
    """A folder where its file should be."""
    Attempts(tmp_path).follower_log.touch()
    (tmp_path / "follower.json").mkdir()
    keeper = keeping(tmp_path, OBEDIENT)
    try:
        until("the follower is there", lambda: len(starts(tmp_path)) == 1)
        os.kill(starts(tmp_path)[0], signal.SIGKILL)
        until("it is there again", lambda: len(starts(tmp_path)) == 2)
    finally:
        keeper.kill()
        keeper.wait()


def test_a_supervisor_starts_a_dead_keeper_again_and_no_second_one(tmp_path):
    log = tmp_path / "log"
    log.touch()
    script = f"echo $$ >> {log}; exec sleep 900"

    def keepers() -> list[int]:
        return [int(line) for line in log.read_text().splitlines()]

    with with_follower(["bash", "-c", script], str(tmp_path), os.environ) as keep:
        until("a keeper is there", lambda: len(keepers()) == 1)
        keep()
        os.kill(keepers()[0], signal.SIGKILL)
        until("it is gone", lambda: gone(keepers()[0]))
        keep()
        until("another is there", lambda: len(keepers()) == 2)
    first, second = keepers()
    assert gone(first) and gone(second)


def test_a_follower_ends_with_a_keeper_that_is_killed(tmp_path, keeper):
    until("the follower is there", lambda: len(starts(tmp_path)) == 1)
    keeper.kill()
    until("the follower is gone", lambda: gone(starts(tmp_path)[0]))


def test_next_to_another_worker_than_the_first_there_is_none(tmp_path):
    """The same container is next to each worker of a Kubernetes run."""
    keeper = keeping(tmp_path, OBEDIENT, "--rank=1")
    try:
        said = Path(f"{tmp_path}.said")
        until("it is told", lambda: "worker 1 has no follower" in said.read_text())
        keeper.send_signal(signal.SIGTERM)
        assert keeper.wait(60) == 0
    finally:
        keeper.kill()
        keeper.wait()
    assert starts(tmp_path) == [] and recorded(tmp_path) == (0, None)


@pytest.fixture
def launch(tmp_path: Path) -> Launcher:
    return Launcher(tmp_path / "state")


@pytest.mark.slow
@pytest.mark.timeout(1800)  # a busy machine
def test_a_run_whose_follower_and_worker_are_killed_ends_with_the_weights_of_stored_variants(
    launch, tmp_path
):
    """The undisturbed run reads what `build` gave all its variants. The follower is killed at its
    first variant, the worker after a step; only the second of these counts.
    """
    whole, calm = live_runs.class_data(tmp_path, PASSES, "whole"), tmp_path / "calm"
    stored = [*flags_of(tmp_path, whole, calm), "--config.data.variants=live"]
    launch("train", "--name=calm", "--wait", "--", *stored)

    data, run = live_runs.class_data(tmp_path, 1, "one"), tmp_path / "run"
    launch("train", "--name=run", *FOLLOWED, "--", *flags_of(tmp_path, data, run))
    first = follower(run)
    until("it builds", lambda: (Path(data) / "live" / "variant-00001.json").exists())
    os.kill(first, signal.SIGKILL)
    trains(run, 0)
    os.kill(worker(run, 0, 0), signal.SIGKILL)
    until("another follower is there", lambda: follower(run) != first)
    until("and runs", lambda: attempts_of(run).follower_state() == "running")
    assert "follower: running" in launch("status", "run")
    launch("wait", "run")
    status = launch.status("run")
    assert (status["state"], status["restarts"], status["interruptions"]) == ("succeeded", 1, 0)
    assert status["follower"] == ""
    second = follower(run)
    assert first != second and gone(second)
    assert digest(run) == digest(calm)
    lines = launch("logs", "run", "--rank=follower").splitlines()
    # The first may have been killed before it logged its variant.
    assert any("variant 5: 21 pictures" in line for line in lines)
    assert "[follower] the follower was killed by SIGKILL; starting it again" in lines
    assert all(line.startswith("[follower] ") for line in lines)


@pytest.mark.slow
@pytest.mark.timeout(1800)  # a busy machine
def test_no_follower_outlives_a_run_that_is_stopped_or_whose_supervisor_is_killed(launch, tmp_path):
    data, run = live_runs.class_data(tmp_path, 1, "one"), tmp_path / "run"
    flags = [*flags_of(tmp_path, data, run), "--config.epochs=1000"]
    launch("train", "--name=run", *FOLLOWED, "--", *flags)
    first = follower(run)
    trains(run, 0)
    lock = tmp_path / "state" / "run" / "supervisor.lock"
    os.kill(int(lock.read_text()), signal.SIGKILL)
    until("the follower ends with it", lambda: gone(first))
    launch("resume", "run")
    until("it is there again", lambda: follower(run) != first)
    second = follower(run)
    trains(run, 1)
    launch("stop", "run")
    assert gone(second) and gone(worker(run, 1, 0))
    assert launch.status("run")["follower"] == ""
