"""Runs on a real Slurm, by the real command: the whole way, and all that comes between."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from preprocess.synth.dataset import synthesise
from tests.integration import slurm
from tests.launch import started_runs as runs
from tests.launch.followed_runs import FOLLOWED, flags_of, follower
from tests.launch.started_runs import Launcher, actions, digest, disturb, gone, trains, worker
from tests.trainer import datasets, live_runs

pytestmark = pytest.mark.timeout(1800)

ON_SLURM = ["--backend=slurm", "--cpus=1", "--memory=1Gi", "--shared_memory=256Mi", "--grace=60s"]
SPACE = "set: {epochs: 1, steps_per_epoch: 2, validation_steps: 1}\nstages: [{model.scale: [1, 2]}]"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[slurm.Cluster]:
    yield from slurm.cluster(tmp_path_factory.mktemp("slurm"))


@pytest.fixture(scope="module")
def launch(cluster: slurm.Cluster, tmp_path_factory: pytest.TempPathFactory) -> Launcher:
    return Launcher(tmp_path_factory.mktemp("state"), **cluster.environment)


@pytest.fixture(scope="module")
def data(launch: Launcher, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A dataset directory, built by a job."""
    folder = tmp_path_factory.mktemp("data")
    synthesise(folder, 40, 60, 0.45, 0, progress=False)
    flags = ["--source=fec", f"--csv={folder}/labels.csv", f"--images={folder}/images_cropped"]
    flags += ["--image_size=32", "--variants=3", "--shards=2", "--workers=1"]
    words = ["preprocess", "--name=build", *ON_SLURM, "--wait"]
    launch(*words, "--", *flags, f"--output={folder}/dataset")
    assert "pictures" in launch("logs", "build")
    return f"{folder}/dataset"


@pytest.fixture(scope="module")
def training(data: str, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Flags of a training of two tasks, up to the run directory."""
    config = datasets.write_config(tmp_path_factory.mktemp("config") / "c.py", runs.TRAINING)
    return [*ON_SLURM, "--workers=2", "--", f"--config={config}", f"--data={data}"]


@pytest.fixture(scope="module")
def calm(launch: Launcher, training: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run directory of a training that nothing disturbed."""
    run = tmp_path_factory.mktemp("runs") / "calm"
    launch("train", "--name=calm", "--wait", *training, f"--workdir={run}")
    return run


def job(cluster: slurm.Cluster, launch: Launcher, name: str) -> dict[str, str]:
    """What Slurm says of a run's job."""
    number = launch.status(name)["handle"].removeprefix("slurm:")
    text = cluster.run("scontrol", "--oneliner", "show", "job", number)
    return dict(word.split("=", 1) for word in text.split() if "=" in word)


def test_two_tasks_of_a_job_train_together(cluster, launch, calm):
    status = launch.status("calm")
    assert (status["state"], status["restarts"], status["interruptions"]) == ("succeeded", 0, 0)
    assert [(rank["rank"], rank["exit_code"]) for rank in status["ranks"]] == [(0, 0), (1, 0)]
    assert status["progress"]["step"] == status["progress"]["total_steps"] == runs.STEPS
    lines = launch("logs", "calm").splitlines()
    for rank in range(2):
        assert any(line.startswith(f"[{rank}] worker {rank} ") for line in lines)
    assert any(line.startswith(f"[0] epoch {runs.EPOCHS}/{runs.EPOCHS}") for line in lines)
    listed = {run["name"]: run for run in json.loads(launch("list", "--json"))["runs"]}
    assert (listed["calm"]["backend"], listed["calm"]["state"]) == ("slurm", "succeeded")
    assert job(cluster, launch, "calm")["JobState"] == "COMPLETED"


def test_a_killed_task_requeues_the_job_which_ends_with_the_same_weights(
    cluster, launch, training, calm, tmp_path
):
    """Counted once for all workers, however the other task ended: with 76, as it lost its peer."""
    run = tmp_path / "run"
    launch("train", "--name=killed", *training, f"--workdir={run}")
    disturb(run, 0, 1, signal.SIGKILL)
    launch.wait_for("killed", "pending")
    assert "rank 1 was killed by SIGKILL" in launch("why", "killed")
    assert job(cluster, launch, "killed")["Restarts"] == "1"
    launch("wait", "killed")
    status = launch.status("killed")
    assert (status["state"], status["restarts"], status["interruptions"]) == ("succeeded", 1, 0)
    assert actions(run) == ["retry", "finished"]
    assert "another worker is gone" in launch("logs", "killed", "--previous", "--rank=0")
    assert digest(run) == digest(calm)


def test_a_job_told_to_end_or_held_goes_on_uncounted_to_the_same_weights(
    cluster, launch, training, calm, tmp_path
):
    """SIGTERM to the step, as before a time limit or a preemption; then suspend and resume."""
    run = tmp_path / "run"
    launch("train", "--name=held", *training, f"--workdir={run}")
    trains(run, 0)
    number = launch.status("held")["handle"].removeprefix("slurm:")
    cluster.run("scancel", "--signal=TERM", number)
    trains(run, 1)
    assert actions(run) == ["retry-uncounted"]
    workers = [worker(run, 1, rank) for rank in range(2)]
    launch("suspend", "held")
    launch.wait_for("held", "suspended")
    runs.until("the workers end", lambda: all(map(gone, workers)))
    assert "saved at step" in launch("logs", "held")
    launch("resume", "held")
    launch("wait", "held")
    status = launch.status("held")
    assert (status["state"], status["restarts"], status["interruptions"]) == ("succeeded", 0, 2)
    assert digest(run) == digest(calm)


def test_a_job_at_its_time_limit_saves_and_is_requeued_until_it_is_stopped(
    launch, training, tmp_path
):
    """Of three minutes: SIGTERM comes one and a half to two and a half before, when both train."""
    run = tmp_path / "run"
    flags = ["--time_limit=3m", "--grace=30s", "--config.epochs=1000"]
    at = training.index("--")
    words = [*training[:at], *flags[:2], *training[at:], flags[2], f"--workdir={run}"]
    launch("train", "--name=limited", *words)
    runs.until("a life saves at its limit", lambda: len(lives_that_saved(run)) > 0)
    runs.until("it is judged", lambda: len(actions(run)) > 0)
    trains(run, len(actions(run)))
    assert set(actions(run)) == {"retry-uncounted"}
    workers = [worker(run, len(actions(run)), rank) for rank in range(2)]
    launch("stop", "limited")
    status = launch.wait_for("limited", "stopped")
    assert status["restarts"] == 0 and status["interruptions"] >= 1
    runs.until("the workers end", lambda: all(map(gone, workers)))
    assert launch("wait", "limited", code=1)


def test_a_follower_runs_in_the_job_and_ends_with_it(cluster, launch, tmp_path):
    """Six passes, of whose variants the dataset has one; then one that is cancelled."""
    data, run = live_runs.class_data(tmp_path, 1, "one"), tmp_path / "run"
    words = ["train", *ON_SLURM, *FOLLOWED, "--name"]
    launch(*words, "followed", "--wait", "--", *flags_of(tmp_path, data, run))
    assert launch.status("followed")["state"] == "succeeded"
    assert job(cluster, launch, "followed")["NumCPUs"] == "2"
    assert "[follower] variant 5: 21 pictures" in launch("logs", "followed")
    assert gone(follower(run))

    run = tmp_path / "cancelled"
    endless = [*flags_of(tmp_path, data, run), "--config.epochs=1000"]
    launch(*words, "cancelled", "--", *endless)
    trains(run, 0)
    assert launch.status("cancelled")["follower"] == "running"
    launch("stop", "cancelled")
    launch.wait_for("cancelled", "stopped")
    runs.until("the follower ends", lambda: gone(follower(run)))


def lives_that_saved(run: Path) -> list[Any]:
    logs = (run / "launch" / "lives").glob("*/rank-00000.log")
    return [log for log in logs if "saved at step" in log.read_text()]


@pytest.mark.parametrize(("flag", "code"), [("--no_such_flag=1", 64), ("--config.epoch=1", 78)])
def test_a_mistake_of_the_user_is_not_requeued(cluster, launch, training, tmp_path, flag, code):
    run = tmp_path / "run"
    name = f"wrong-{code}"
    launch("train", f"--name={name}", "--wait", *training, f"--workdir={run}", flag, code=1)
    status = launch.status(name)
    assert (status["state"], status["restarts"]) == ("failed", 0)
    assert actions(run) == ["fail"]
    assert f"ended with {code}" in launch("why", name)
    found = job(cluster, launch, name)
    assert (found["JobState"], found["Restarts"], found["ExitCode"]) == ("FAILED", "0", f"{code}:0")


def test_a_search_is_an_array_whose_jobs_share_a_study_and_fail_alone(launch, data, tmp_path):
    """Two runs in two jobs. The second job's worker is killed at its start: it alone is requeued,
    and whoever comes first does what is left.
    """
    folder, space = tmp_path / "search", tmp_path / "space.yaml"
    space.write_text(SPACE)
    config = datasets.write_config(tmp_path / "c.py", datasets.TRIPLET)
    flags = [f"--config={config}", f"--space={space}", f"--data={data}", f"--workdir={folder}"]
    launch("search", "--name=tune", "--workers=2", *ON_SLURM, "--", *flags)
    began = folder / "launch" / "lives" / "worker-00001" / "000" / "rank-00001.json"
    runs.until("the second worker begins", began.exists)
    runs.kill(json.loads(began.read_text())["pid"])
    launch("wait", "tune")
    status = launch.status("tune")
    assert (status["state"], status["restarts"], status["interruptions"]) == ("succeeded", 1, 0)
    assert [(rank["rank"], rank["exit_code"]) for rank in status["ranks"]] == [(0, 0), (1, 0)]
    assert "rank 1 was killed by SIGKILL" in launch("why", "tune")
    assert launch("logs", "tune", "--rank=0").startswith("[0] ")
    found = json.loads((folder / "search.json").read_text())
    assert found["complete"] and [run["state"] for run in found["trials"]] == ["finished"] * 2


def test_a_search_is_suspended_and_stopped_as_one(launch, data, tmp_path):
    folder, space = tmp_path / "search", tmp_path / "space.yaml"
    space.write_text(SPACE)
    flags = ["--config=fec_triplet", f"--space={space}", f"--data={data}", f"--workdir={folder}"]
    launch("search", "--name=halt", "--workers=3", *ON_SLURM, "--", *flags)
    launch("suspend", "halt")
    launch.wait_for("halt", "suspended")
    launch("resume", "halt")
    launch.wait_for("halt", "pending", "running")
    launch("stop", "halt")
    launch.wait_for("halt", "stopped")
    assert launch("resume", "halt", code=64).count("\n") <= 2
