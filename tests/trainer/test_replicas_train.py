"""A whole training on one replica and on several: the same losses and weights."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.trainer import datasets
from trainer.checkpoints import LAST, Checkpoints


def rows(run):
    return [json.loads(line) for line in (Path(run) / "metrics.jsonl").read_text().splitlines()]


def assert_same_curves(run, expected):
    """Sums of floats in another order: relative 1e-4 after ten steps."""
    for row, other in zip(rows(run), rows(expected), strict=True):
        for name in ("loss", "val_loss"):
            assert row[name] == pytest.approx(other[name], rel=1e-4)
        assert row["step"] == other["step"]


def weights(run):
    import tensorflow as tf

    (path,) = Checkpoints(Path(run) / "checkpoints").states(LAST)
    reader = tf.train.load_checkpoint(str(path / "state"))
    names = [n for n in reader.get_variable_to_shape_map() if n.startswith("model/")]
    return {name: reader.get_tensor(name) for name in names if "VARIABLE_VALUE" in name}


def assert_same_weights(run, expected):
    found, other = weights(run), weights(expected)
    assert found.keys() == other.keys() and len(found) > 5
    for name, values in found.items():
        np.testing.assert_allclose(values, other[name], rtol=2e-3, atol=2e-4, err_msg=name)


def test_two_replicas_train_as_one_does(triplet_data, tmp_path, train_here):
    """`cnn`, dropout 0.3, crop and flip on; 33 triplets in batches of 8, so the fifth batch has
    one triplet: all padding on the second replica. SGD: Adam would blow up the last digits of
    small gradients.
    """
    config = datasets.configuration(
        datasets.TRIPLET, optimizer__name="sgd", optimizer__learning_rate=0.05
    )
    for replicas in (1, 2):
        train_here(config, triplet_data, tmp_path / str(replicas), replicas=replicas)
    assert_same_curves(tmp_path / "2", tmp_path / "1")
    assert_same_weights(tmp_path / "2", tmp_path / "1")


def test_two_replicas_train_classes_as_one_does(class_data, tmp_path, train_here):
    """21 pictures in batches of 8: the last has five, four on one replica and one on the other."""
    config = datasets.configuration(
        datasets.CLASSIFICATION,
        optimizer__name="sgd",
        optimizer__learning_rate=0.05,
        augment__enabled=True,
        augment__flip=True,
        augment__cutout=6,
    )
    for replicas in (1, 2):
        train_here(config, class_data, tmp_path / str(replicas), replicas=replicas)
    assert_same_curves(tmp_path / "2", tmp_path / "1")
    assert_same_weights(tmp_path / "2", tmp_path / "1")


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("localhost", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def start_worker(number, ports, *arguments):
    """`python -m trainer train` as one worker of a cluster; output goes to a file beside it."""
    cluster = {"worker": [f"localhost:{port}" for port in ports]}
    task = {"type": "worker", "index": number}
    environment = {**os.environ, "TF_CONFIG": json.dumps({"cluster": cluster, "task": task})}
    return subprocess.Popen(
        [sys.executable, "-m", "trainer", "train", *arguments],
        cwd=datasets.REPOSITORY,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.slow
def test_two_workers_train_as_one_process_does_and_only_the_chief_writes(
    triplet_data, tmp_path, train_here
):
    """One epoch in two processes, and a second after a restart."""
    changes = {
        "model__backbone": "mlp",
        "optimizer__name": "sgd",
        "optimizer__learning_rate": 0.05,
    }
    alone = datasets.configuration(datasets.TRIPLET, epochs=2, **changes)
    train_here(alone, triplet_data, tmp_path / "alone")
    for epochs in (1, 2):
        config = datasets.write_config(
            tmp_path / "config.py", datasets.TRIPLET, epochs=epochs, **changes
        )
        ports = free_ports(2)
        flags = (f"--config={config}", f"--data={triplet_data}", f"--workdir={tmp_path / 'run'}")
        workers = [start_worker(number, ports, *flags) for number in range(2)]
        try:
            for worker in workers:
                _, said = worker.communicate(timeout=240)
                assert worker.returncode == 0, said
        finally:
            for worker in workers:
                worker.kill()
        assert len(rows(tmp_path / "run")) == epochs
    assert_same_curves(tmp_path / "run", tmp_path / "alone")
    assert_same_weights(tmp_path / "run", tmp_path / "alone")
    report = json.loads((tmp_path / "run" / "report.json").read_text())
    assert report["steps"] == 10
    events = list((tmp_path / "run" / "tensorboard" / "train").glob("events.*"))
    assert len(events) == 2  # one a life, none of the second worker's
