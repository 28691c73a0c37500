"""A whole training on one replica and on several: the same losses and weights."""

import json
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
