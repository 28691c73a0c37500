"""Stopped and started again, by the real command: the same weights as of a run left alone."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest

from preprocess.shell.exit_codes import ExitCode
from tests import forked
from tests.trainer import datasets
from tests.trainer.kills import (
    VALIDATION,
    Kill,
    check_killed,
    check_records,
    live,
    rows_without_times,
    wait_for,
)
from trainer.monitoring.time_account import account, read_attempts
from trainer.training.checkpoints import LAST, Checkpoints
from trainer.training.record_log import read_record_log

pytestmark = pytest.mark.slow

SHARED = {
    "model.backbone": "cnn",
    "deterministic": True,
    "epochs": 6,
    "steps_per_epoch": 4,  # a pass has 5 steps: epochs end within passes
    "virtual_replicas": 2,
    "checkpoint.every_steps": 3,
    "checkpoint.keep": 2,
    "optimizer.schedule": "CosineDecay",
    "optimizer.warmup_steps": 3,
    "stages": ({"epochs": 2, "trainable": "head", "learning_rate": 0.01}, {}),
    "optimizer.clip_global_norm": 0.5,
    "optimizer.weight_decay": 0.01,
    "optimizer.accumulate_steps": 2,  # states are saved between and within updates
    "optimizer.ema_momentum": 0.9,
    "model.head_initializer": "he_normal",
    "model.head_l2": 0.01,
    "early_stopping.patience": 5,
    "optimizer.name": "adabound",
    "steps_per_execution": 2,
    "data.log_records": True,
}
STEPS = 24


def flags(tmp_path, data, run, **changes):
    base = {**datasets.TRIPLET, **SHARED}
    config = datasets.write_config(tmp_path / "config.py", base, **changes)
    return ["train", f"--config={config}", f"--data={data}", f"--workdir={run}", "--json"]


def finish(tmp_path, data, run):
    """Runs the command to its end; returns what --json prints and stderr."""
    done = datasets.command("trainer", *flags(tmp_path, data, run))
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), done.stderr


@pytest.fixture(scope="module")
def undisturbed(triplet_data, tmp_path_factory):
    path = tmp_path_factory.mktemp("undisturbed")
    report, said = finish(path, triplet_data, path / "run")
    assert "resuming at" not in said
    return report, path / "run"


def test_a_run_killed_twice_ends_with_the_same_weights(undisturbed, triplet_data, tmp_path):
    """KILL in the middle of an epoch and of a call of two steps, TERM in a validation."""
    report, run = undisturbed
    kills = [Kill(6, signal.SIGKILL), Kill(12, signal.SIGTERM, VALIDATION)]
    again = tmp_path / "run"
    begin, reached = time.time(), []
    for kill in kills:
        code, said = live(flags(tmp_path, triplet_data, again), again, kill, 4)
        check_killed(kill, code, said)
        reached.append(read_record_log(again / "records.jsonl")[-1][0])
    report, said = finish(tmp_path, triplet_data, again)
    check_time(again, report["time"], time.time() - begin, reached[0])
    assert f"resuming at step 12 of {STEPS}" in said  # before its validation
    assert report["steps"] == STEPS
    assert report["weights_digest"] == undisturbed[0]["weights_digest"]
    assert rows_without_times(again) == rows_without_times(run)
    check_records(again, STEPS, 33, 8)


def check_time(run, reported, outside, reached):
    """The run's own account against the clock outside and its log of records.

    What the account cannot see is the time a process takes to appear and to go. The kill comes
    while a call of two steps is under way, whose end the account may have seen or not. The second
    attempt began with the last state before `reached`, a multiple of 3 or the end of an epoch of 4,
    and not one was redone after the third began.
    """
    attempts = read_attempts(run / "timeline" / "worker-0.jsonl")
    spent = account(attempts)
    assert (spent.attempts, reported["attempts"]) == (3, 3)
    assert 0.9 * outside < spent.wall_seconds < outside + 0.1
    assert reported["wall_seconds"] <= spent.wall_seconds
    assert sum(reported["seconds"].values()) == pytest.approx(reported["wall_seconds"])
    second = attempts[1].first_step
    assert second in {n for n in range(reached) if n % 3 == 0 or n % 4 == 0}
    assert reached - 2 - second <= reported["redone_steps"] <= reached - second
    assert 0 < reported["goodput"] < 1
    for kind in ("start", "build", "compile", "steps", "validation", "saving", "report"):
        assert reported["seconds"][kind] > 0
    done = datasets.command("trainer", "time", str(run))
    assert done.returncode == 0
    assert "in 3 attempts, goodput" in done.stdout


def test_sigterm_while_the_first_step_is_traced_ends_at_once(triplet_data, tmp_path):
    """config.json is there just before: what is traced next must not outlast a grace period."""
    run = tmp_path / "run"
    process = forked.Popen(
        [sys.executable, "-m", "trainer", *flags(tmp_path, triplet_data, run)],
        cwd=datasets.REPOSITORY,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    try:
        wait_for(lambda: (run / "config.json").exists() or process.poll() is not None)
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == ExitCode.SAVED, said
    assert "nothing is unsaved" in said and "Traceback" not in said
    assert Checkpoints(run / "checkpoints").states(LAST) == []


def test_a_damaged_last_state_falls_back_to_the_one_before(undisturbed, triplet_data, tmp_path):
    """States at step 24 after and before its validation are kept: the older one has its epoch to
    finish.
    """
    report, run = undisturbed
    copy = shutil.copytree(run, tmp_path / "run")
    newest = Checkpoints(copy / "checkpoints").states(LAST)[0]
    data = next(newest.glob("state.data-*"))
    os.truncate(data, data.stat().st_size - 100)
    again, said = finish(tmp_path, triplet_data, copy)
    assert "cannot be restored" in said and f"resuming at step 24 of {STEPS}" in said
    assert again["weights_digest"] == report["weights_digest"]


def test_where_no_state_is_whole_the_run_is_refused_and_left_alone(
    undisturbed, triplet_data, tmp_path
):
    copy = shutil.copytree(undisturbed[1], tmp_path / "run")
    states = Checkpoints(copy / "checkpoints").states(LAST)
    for state in states:
        (state / "state.index").write_bytes(b"nonsense")
    done = datasets.command("trainer", *flags(tmp_path, triplet_data, copy))
    assert done.returncode == os.EX_DATAERR
    assert "another --workdir" in done.stderr and "Traceback" not in done.stderr
    assert Checkpoints(copy / "checkpoints").states(LAST) == states


def test_another_configuration_is_refused_with_the_list(undisturbed, triplet_data, tmp_path):
    copy = shutil.copytree(undisturbed[1], tmp_path / "run")
    command = flags(tmp_path, triplet_data, copy, loss__delta=0.25, epochs=9)
    done = datasets.command("trainer", *command)
    assert done.returncode == os.EX_CONFIG
    assert "loss.delta (0.5 -> 0.25)" in done.stderr
    assert "epochs" not in done.stderr and "Traceback" not in done.stderr


def test_a_diverging_run_ends_with_70_and_says_what_to_do(triplet_data, tmp_path):
    """Normalised embeddings bound the loss; plain SGD at 1e38 overflows the weights."""
    command = flags(
        tmp_path,
        triplet_data,
        tmp_path / "run",
        optimizer__name="sgd",
        optimizer__schedule="",
        optimizer__warmup_steps=0,
        optimizer__clip_global_norm=0.0,
        optimizer__learning_rate=1e38,
        stages=(),
    )
    done = datasets.command("trainer", *command)
    assert done.returncode == ExitCode.DIVERGED, done.stderr
    assert "lower optimizer.learning_rate=1e+38" in done.stderr
    assert "Traceback" not in done.stderr
    assert Checkpoints(tmp_path / "run" / "checkpoints").states(LAST) == []
