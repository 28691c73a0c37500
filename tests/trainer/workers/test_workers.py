"""Two workers of the real command on this machine: the same as one, killed, stopped, alone."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from preprocess.shell.exit_codes import ExitCode
from tests import forked
from tests.trainer import datasets, own_code
from tests.trainer.conftest import strategy
from tests.trainer.workers.double_precision import session_in_float64, steps_in_float64
from tests.trainer.workers.test_replicas_train import assert_same_training, rows
from trainer.monitoring.processor import OTHERS
from trainer.training.checkpoints import LAST, Checkpoints
from trainer.training.record_log import read_record_log
from trainer.workers.barrier import wait_for_peers
from trainer.workers.cluster import Cluster
from trainer.workers.supervisor.processes import free_ports

pytestmark = pytest.mark.slow

DEADLINE = 500.0  # of one life; the machine may be shared
SGD = {"optimizer__name": "sgd", "optimizer__learning_rate": 0.05}


def arguments(tmp_path, data, **changes):
    """`train` with its flags, and the run directory."""
    base = {**datasets.TRIPLET, "model.backbone": "cnn"}
    config = datasets.write_config(tmp_path / "config.py", base, **changes)
    run = tmp_path / "run"
    return ["train", f"--config={config}", f"--data={data}", f"--workdir={run}", "--json"], run


def start(words, program=("-m", "trainer"), **environment):
    """`python -m trainer WORDS`, or another program of Python's, its output kept."""
    # What keeps TensorFlow quiet in the tests is not there for the user.
    plain = {name: value for name, value in os.environ.items() if not name.startswith("TF_")}
    return forked.Popen(
        [sys.executable, *program, *words],
        cwd=datasets.REPOSITORY,
        env={**plain, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def end(process):
    """(exit code, stdout, stderr)."""
    try:
        out, said = process.communicate(timeout=DEADLINE)
    finally:
        process.kill()
    assert "Traceback" not in said, said
    return process.returncode, out, said


def start_two(words, program=("-m", "trainer")):
    """Two workers without a supervisor."""
    addresses = [f"localhost:{port}" for port in free_ports(2)]
    configs = [
        {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": rank}}
        for rank in range(2)
    ]
    return [start(words, program, TF_CONFIG=json.dumps(config)) for config in configs]


def saved(run):
    """The newest (step, epochs) that is saved, (0, 0) before the first."""
    states = Checkpoints(run / "checkpoints").states(LAST)
    if not states:
        return 0, 0
    _, step, _, epochs = states[0].name.split("-")
    return int(step), int(epochs)


def until(condition, *processes):
    """Waits for something that running processes bring about."""
    deadline = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < deadline
        ended = [process for process in processes if process.poll() is not None]
        assert not ended, [process.communicate() for process in ended]
        time.sleep(0.02)


def threads(process):
    """How many a process has."""
    return len(os.listdir(f"/proc/{process.pid}/task"))


def logs(run):
    return [(run / "logs" / f"worker-{rank}.log").read_text() for rank in range(2)]


def test_two_workers_take_the_steps_of_two_replicas(triplet_data, tmp_path):
    """Two passes of `cnn` with dropout, crop and flip, in float64: see test_replicas_train for how
    far apart sums in another order may be.
    """
    changes = {**SGD, "data__log_records": True}
    file = datasets.write_config(
        tmp_path / "config.py", {**datasets.TRIPLET, "model.backbone": "cnn"}, **changes
    )
    words, count = [str(file), triplet_data, str(tmp_path)], 10
    program = ("-m", "tests.trainer.workers.worker_in_float64")
    workers = start_two([*words, str(count)], program)
    try:
        for worker in workers:
            code, _, said = end(worker)
            assert code == 0, said
    finally:
        for worker in workers:
            worker.kill()
    found, other = (np.load(tmp_path / f"worker-{rank}.npz") for rank in range(2))
    config = datasets.configuration(datasets.TRIPLET, model__backbone="cnn", **changes)
    session = session_in_float64(config, triplet_data, strategy(2))
    for step, (sums, records) in enumerate(steps_in_float64(session, triplet_data, count)):
        both = np.concatenate([each[f"records_{step}"] for each in (found, other)], axis=1)
        np.testing.assert_array_equal(both, records)
        np.testing.assert_allclose(found[f"sums_{step}"], sums, rtol=1e-8)
    for at, weights in enumerate(session.model.get_weights()):
        moved = np.abs(found[f"after_{at}"] - found[f"before_{at}"]).max()
        assert moved > 0
        np.testing.assert_allclose(found[f"after_{at}"], weights, rtol=0, atol=1e-8 * moved)


def test_two_workers_train_cnn_as_one_process_does_and_only_the_first_one_writes(
    triplet_data, tmp_path, train_here
):
    """Two epochs with dropout, crop and flip, validated at steps 3, 6, 9 and 10, against one
    replica (that of two virtual ones is exact: test_replicas_train). Started by one command, whose
    stdout is the first worker's, where the environment names a web proxy, which would not even
    carry a greeting.
    """
    proxy = dict.fromkeys(("http_proxy", "https_proxy"), "http://127.0.0.1:9")
    changes = {**SGD, "model__backbone": "cnn", "validation__every_steps": 3}
    words, run = arguments(tmp_path, triplet_data, **changes)
    code, out, said = end(start([*words, "--local_workers=2"], **proxy, no_proxy=""))
    assert code == 0, said
    alone = datasets.configuration(datasets.TRIPLET, **changes)
    train_here(alone, triplet_data, tmp_path / "alone")
    assert_same_training(run, tmp_path / "alone", alone, triplet_data)
    assert json.loads(out)["steps"] == 10
    assert [row["step"] for row in rows(run) if "val_loss" in row] == [3, 6, 9, 10]
    # What the other worker takes of this machine's processor is not another's.
    assert [row[OTHERS] for row in rows(run) if "loss" in row] == [None, None]
    assert len(list((run / "tensorboard" / "train").glob("events.*"))) == 1
    assert "[0] epoch 2/2" in said and "[1] epoch" not in said
    assert all("all are there" in log and "epoch 2/2" in log for log in logs(run))


@pytest.mark.timeout(1800)  # three lives of two processes, on a machine that may be busy
@pytest.mark.integration  # a minute; tests/launch kills a worker of a network without BatchNorm
def test_a_killed_worker_restarts_all_to_the_same_weights(triplet_data, tmp_path):
    """BatchNorm, whose statistics differ between the workers, dropout, crop and flip, updates of
    two steps, between which the first state is saved, and two stages, the first of which ends
    within an update. Worker 1 is killed after that, long before the last step. What it drew and
    measured after it is lost.
    """
    mine = own_code.write(tmp_path / "mine", small=own_code.NETWORK)
    words, run = arguments(
        tmp_path,
        triplet_data,
        model__backbone=f"{mine}/small.py:body",
        augment__crop=20,
        deterministic=True,
        epochs=16,
        stages=({"epochs": 3, "trainable": "head"}, {}),
        checkpoint__every_steps=3,
        optimizer__accumulate_steps=2,
        optimizer__clip_global_norm=1.0,
        optimizer__ema_momentum=0.5,
    )
    command = [*words, "--local_workers=2"]
    code, out, said = end(start(command))
    assert code == 0, said
    undisturbed = json.loads(out)
    run.rename(tmp_path / "undisturbed")

    group = start(command)
    until(lambda: saved(run) > (0, 0), group)
    workers = Path(f"/proc/{group.pid}/task/{group.pid}/children").read_text().split()
    os.kill(int(workers[1]), signal.SIGKILL)
    code, out, said = end(group)
    assert code == 0, said
    assert (
        "restarting all workers (1 of 3): worker 1 was killed by SIGKILL, worker 0 ended with 76"
        in said
    )
    assert "resuming at step" in said
    disturbed = json.loads(out)
    assert disturbed["steps"] == undisturbed["steps"] == 80
    assert disturbed["weights_digest"] == undisturbed["weights_digest"]


def test_a_signal_to_one_worker_saves_the_same_step_on_all(triplet_data, tmp_path):
    """SIGTERM to worker 1 after six epochs, in which the threads did not become more: both say the
    same step, both end with 75, and that step is the newest state, with the part of each.
    """
    words, run = arguments(tmp_path, triplet_data, model__backbone="mlp", epochs=1000)
    processes = start_two(words)
    until(lambda: saved(run)[1] >= 2, *processes)
    began = [threads(process) for process in processes]
    until(lambda: saved(run)[1] >= 6, *processes)
    # A collective with a timeout would leave a thread each, for as long as the timeout.
    assert all(
        threads(process) < before + 20 for process, before in zip(processes, began, strict=True)
    )
    processes[1].send_signal(signal.SIGTERM)
    ends = [end(process) for process in processes]
    assert [code for code, _, _ in ends] == [ExitCode.SAVED, ExitCode.SAVED], ends
    step, _ = saved(run)
    first, second = logs(run)
    assert f"SIGTERM: saved at step {step};" in second
    assert f"a signal to another worker: saved at step {step};" in first
    (state,) = Checkpoints(run / "checkpoints").states(LAST)
    assert {"replicas.npz", "replicas-1.npz"} <= {file.name for file in state.iterdir()}
    assert not list(state.parent.glob("tmp-*"))


def test_a_worker_that_hangs_ends_the_other_with_76_and_its_stacks_in_the_log(
    triplet_data, tmp_path
):
    """Worker 1 is stopped between two steps; 5 s for a step come before the 20 s of TensorFlow's
    own heartbeat.
    """
    words, run = arguments(
        tmp_path,
        triplet_data,
        model__backbone="mlp",
        steps_per_epoch=100_000,  # so that there are steps only, none of what may take longer
        data__log_records=True,
        watchdog__seconds=5,
    )
    processes = start_two(words)
    until(lambda: len(read_record_log(run / "records.jsonl")) > 2, *processes)
    processes[1].send_signal(signal.SIGSTOP)
    try:
        code, _, said = end(processes[0])
    finally:
        processes[1].kill()
        processes[1].communicate()
    assert code == ExitCode.LOST_PEER
    assert "no progress for" in said and "resumes from the last saved state" in said
    assert "thread MainThread:" in logs(run)[0] and "loop.py" in logs(run)[0]


def test_a_worker_that_never_comes_is_named_and_ends_the_wait_with_76(triplet_data, tmp_path):
    words, run = arguments(tmp_path, triplet_data, model__backbone="mlp", watchdog__start_seconds=2)
    port, missing = free_ports(2)
    addresses = [f"localhost:{port}", f"localhost:{missing}"]
    config = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": 0}}
    code, out, said = end(start(words, TF_CONFIG=json.dumps(config)))
    assert (code, out) == (ExitCode.LOST_PEER, "")
    assert f"worker 1 (localhost:{missing}): connection refused: did not join within 2 s" in said
    # It is no run yet: another one may have the folder.
    assert {path.name for path in run.iterdir()} == {"lock", "logs", "timeline"}


def test_a_worker_that_is_lost_while_joining_ends_the_other_with_76(triplet_data, tmp_path):
    """This process comes to the start in place of worker 1, and no further. TensorFlow itself
    would wait for ever, and keep Python's lock meanwhile.
    """
    words, run = arguments(tmp_path, triplet_data, model__backbone="mlp", watchdog__start_seconds=5)
    addresses = tuple(f"localhost:{port}" for port in free_ports(2))
    config = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": 0}}
    worker = start(words, TF_CONFIG=json.dumps(config))
    wait_for_peers(Cluster((("worker", 2),), addresses, 1), DEADLINE, print)
    met = time.monotonic()
    code, _, said = end(worker)
    assert code == ExitCode.LOST_PEER, said
    assert time.monotonic() - met < 60
    assert "in prepare" in (run / "logs" / "worker-0.log").read_text()


def test_a_diagnosis_by_both_workers_names_the_slow_one(class_data, tmp_path):
    """150 ms of worker 1's own in each step, by the clock and not by its processor."""
    config = datasets.write_config(
        tmp_path / "config.py", datasets.CLASSIFICATION, model__backbone="mlp"
    )
    words = ["diagnose", f"--config={config}", f"--data={class_data}", "--json"]
    words += ["--rounds=1", "--seconds=0.6"]
    processes = start_two(words, ("-m", "tests.trainer.slowed", "slow_worker", "1"))
    ends = [end(process) for process in processes]
    assert [code for code, _, _ in ends] == [0, 0], ends
    found = json.loads(ends[0][1])
    assert found["bottleneck"]["stage"] == "collective", found
    assert "of worker 1" in found["bottleneck"]["verdict"]
    assert not ends[1][1]
