"""Weights of classes and of records: what a step descends, on one replica and on two."""

import csv

import numpy as np
import pytest
import tensorflow as tf

from preprocess.dataset_format import Manifest
from preprocess.shell.errors import ConfigError
from tests.trainer import datasets
from tests.trainer.conftest import strategy
from tests.trainer.workers.double_precision import session_in_float64, steps_in_float64
from trainer.config import check_config
from trainer.data.class_weights import balanced, with_class_weights
from trainer.data.order import ReplicaSlice
from trainer.data.reader import open_reader

MAPPING = {"bright": 3.0}
STEP = 1e-3  # the logits are of float32 accuracy, 1e-7


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """31 pictures whose weights are 0, 0.5, 1, ..., 2.5, in turn."""
    labels = ["bright"] * 5 + ["dark"] * 5 + ["bright"] * 11 + ["dark"] * 10
    weights = [str(number % 6 / 2) for number in range(31)]
    columns = {"kind": labels, "importance": weights}
    folder = tmp_path_factory.mktemp("weighted")
    return datasets.table(folder, columns, "--label=kind", "--weight=importance")


def configured(data, **changes):
    config = datasets.configuration(
        datasets.CLASSIFICATION,
        model__backbone="mlp",
        model__dropout=0.0,
        optimizer__name="sgd",
        optimizer__learning_rate=1.0,
        batch_size=6,
        **changes,
    )
    return with_class_weights(config, data, Manifest.load(data))


def first_gradients(config, data, replicas):
    """Of the first step: descent at a rate of 1 changes the weights by them."""
    session = session_in_float64(config, data, strategy(replicas))
    before = [weight.numpy() for weight in session.model.trainable_variables]
    next(steps_in_float64(session, data, 1))
    after = [weight.numpy() for weight in session.model.trainable_variables]
    return [was - now for was, now in zip(before, after, strict=True)]


def weighted_mean(session, batch, of_class):
    """Of the losses of a batch, in NumPy."""
    pixels = session.task.pixels(session.augmentation, batch["image"], augment=False)
    logits = session.model(tf.cast(pixels, tf.float64), training=False).numpy()
    labels = batch["label"].numpy()
    losses = np.log(np.exp(logits).sum(-1)) - logits[np.arange(len(labels)), labels]
    factors = np.take(of_class, labels) * batch["record_weight"].numpy().astype(np.float64)
    return (factors * losses).sum() / factors.sum()


@pytest.mark.parametrize("weights", [MAPPING, {}, "balanced"])
def test_a_step_descends_the_weighted_mean_over_the_global_batch(data, weights):
    """Against central differences of the mean, which NumPy computes: bright pictures are 16 of 31,
    of them 11 of 21 in training, so balanced weights are 21 / 22 and 21 / 20.
    """
    config = configured(data, loss__class_weights=weights)
    of_class = {"balanced": [21 / 22, 21 / 20]}.get(str(weights), [(weights and 3.0) or 1.0, 1.0])
    one, two = (first_gradients(config, data, replicas) for replicas in (1, 2))
    session = session_in_float64(config, data, strategy(1))
    reader = open_reader(data, Manifest.load(data), "train", config, training=True)
    batch = next(iter(reader.dataset(0, ReplicaSlice(0, 1, 1))))
    for at, weight in enumerate(session.model.trainable_variables):
        np.testing.assert_allclose(two[at], one[at], atol=1e-6)
        values = weight.numpy()
        place = np.unravel_index(np.abs(one[at]).argmax(), values.shape)
        means = []
        for change in (STEP, -STEP):
            moved = values.copy()
            moved[place] += change
            weight.assign(moved)
            means.append(weighted_mean(session, batch, of_class))
        weight.assign(values)
        assert (means[0] - means[1]) / (2 * STEP) == pytest.approx(one[at][place], rel=5e-3)


def test_a_batch_that_weighs_nothing_changes_nothing(tmp_path):
    data = datasets.table(
        tmp_path, {"label": ["a", "b"] * 15 + ["a"], "w": ["0"] * 31}, "--weight=w"
    )
    assert all(not each.any() for each in first_gradients(configured(data), data, 1))


def test_records_and_manifest_hold_the_weights_and_verify_looks_at_them(data, tmp_path):
    from preprocess.shards.reading import records

    manifest = Manifest.load(data)
    assert manifest.weighted
    with open(f"{data}/../table.csv", encoding="utf-8") as file:
        expected = {row["path"]: float(row["importance"]) for row in csv.DictReader(file)}
    found = {
        features["image/id"].decode(): features["image/weight"]
        for split in manifest.splits.values()
        for shard in split.image_shards()
        for features in records(data, shard.file)
    }
    assert found == {name: [weight] for name, weight in expected.items()}
    assert datasets.command("preprocess", "verify", data, "--deep").returncode == 0


def test_balanced_weights_count_each_class_the_same():
    counts = [10, 0, 30, 20]
    weights = balanced(counts)
    assert [w * n for w, n in zip(weights, counts, strict=True)] == [20, 0, 20, 20]
    assert weights[1] == 1


@pytest.mark.parametrize(
    ("weights", "words"),
    [
        ({"brihgt": 2.0}, "has no class 'brihgt' .did you mean 'bright'"),
        ({"bright": -1.0}, "loss.class_weights.bright: received -1.0"),
        ({"bright": "much"}, "loss.class_weights.bright: received 'much'"),
        ("balancd", "received 'balancd', takes 'balanced' or a mapping"),
    ],
)
def test_weights_of_classes_that_there_are_not_are_refused(data, weights, words):
    with pytest.raises(ConfigError, match=words):
        check_config(configured(data, loss__class_weights=weights))


def test_a_task_without_classes_refuses_weights_of_them():
    with pytest.raises(ConfigError, match="class_weights with task triplet"):
        datasets.configuration(datasets.TRIPLET, loss__class_weights="balanced")
