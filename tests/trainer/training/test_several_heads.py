"""A class and numbers learned at once: gradients, killed and resumed, one and two replicas."""

import numpy as np
import pytest
import tensorflow as tf

from preprocess.dataset_format import Manifest
from tests.trainer import datasets
from tests.trainer.conftest import strategy
from tests.trainer.workers.double_precision import session_in_float64, steps_in_float64
from trainer.data.class_weights import with_class_weights
from trainer.data.order import ReplicaSlice
from trainer.data.reader import open_reader
from trainer.training.steps import Steps

BOTH = {**datasets.CLASSIFICATION, "task": "class_and_numbers"}
STEP = 1e-3  # of the central differences
OF_CLASS = (3.0, 1.0)
PART_WEIGHTS = {"class": 0.5, "numbers": 2.0}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """31 pictures with weights of 0 to 2.5; the second number follows the first."""
    rng = np.random.default_rng(4)
    ages = rng.normal(40, 10, 31)
    columns = {
        "kind": ["bright"] * 5 + ["dark"] * 5 + ["bright"] * 11 + ["dark"] * 10,
        "age": [f"{age:.3f}" for age in ages],
        "pay": [f"{1000 * age + 500 * rng.normal():.1f}" for age in ages],
        "w": [str(number % 6 / 2) for number in range(31)],
    }
    folder = tmp_path_factory.mktemp("heads")
    return datasets.table(folder, columns, "--label=kind", "--targets=age,pay", "--weight=w")


def configured(data, **changes):
    config = datasets.configuration(
        BOTH,
        model__backbone="mlp",
        loss__class_weights={"bright": OF_CLASS[0]},
        loss__weights=PART_WEIGHTS,
        batch_size=6,
        **changes,
    )
    return with_class_weights(config, data, Manifest.load(data))


SGD = {"model__dropout": 0.0, "optimizer__name": "sgd", "optimizer__learning_rate": 1.0}


def first_gradients(config, data, replicas):
    """Of the first step: descent at a rate of 1 changes the weights by them."""
    session = session_in_float64(config, data, strategy(replicas))
    before = [weight.numpy() for weight in session.model.trainable_variables]
    next(steps_in_float64(session, data, 1))
    after = [weight.numpy() for weight in session.model.trainable_variables]
    return [was - now for was, now in zip(before, after, strict=True)]


def weighted_mean(session, batch, targets):
    """In NumPy: of a record r_i (0.5 c_i CE_i + 2 MSE_i), the class's weight c on its part only."""
    pixels = session.task.pixels(session.augmentation, batch["image"], augment=False)
    outputs = session.model(tf.cast(pixels, tf.float64), training=False).numpy()
    labels, logits = batch["label"].numpy(), outputs[:, :2]
    entropy = np.log(np.exp(logits).sum(-1)) - logits[np.arange(len(labels)), labels]
    mean, std = ([getattr(t, name) for t in targets] for name in ("mean", "std"))
    wanted = (batch["numbers"].numpy().astype(np.float64) - mean) / std
    squares = ((outputs[:, 2:] - wanted) ** 2).mean(-1)
    weights = batch["record_weight"].numpy().astype(np.float64)
    losses = 0.5 * np.take(OF_CLASS, labels) * entropy + 2 * squares
    return (weights * losses).sum() / weights.sum()


def test_a_step_descends_the_weighted_sum_of_both_losses(data):
    """Against central differences of the mean, which NumPy computes, in every weight tensor."""
    config = configured(data, **SGD)
    one, two = (first_gradients(config, data, replicas) for replicas in (1, 2))
    session = session_in_float64(config, data, strategy(1))
    manifest = Manifest.load(data)
    reader = open_reader(data, manifest, "train", config, training=True)
    batch = next(iter(reader.dataset(0, ReplicaSlice(0, 1, 1))))
    assert {"logits", "numbers"} <= {layer.name for layer in session.model.layers}
    for at, weight in enumerate(session.model.trainable_variables):
        np.testing.assert_allclose(two[at], one[at], atol=1e-6)
        values = weight.numpy()
        place = np.unravel_index(np.abs(one[at]).argmax(), values.shape)
        means = []
        for change in (STEP, -STEP):
            moved = values.copy()
            moved[place] += change
            weight.assign(moved)
            means.append(weighted_mean(session, batch, manifest.targets))
        weight.assign(values)
        assert (means[0] - means[1]) / (2 * STEP) == pytest.approx(one[at][place], rel=5e-3)


def test_two_replicas_take_the_steps_of_one(data):
    """With dropout; in float64, where sums in another order are 1e-8 apart at most."""
    config = configured(
        data, model__dropout=0.3, optimizer__name="sgd", optimizer__learning_rate=0.05
    )
    one, two = (session_in_float64(config, data, strategy(replicas)) for replicas in (1, 2))
    steps = zip(steps_in_float64(one, data, 8), steps_in_float64(two, data, 8), strict=True)
    for (sums, _), (other_sums, _) in steps:
        assert len(sums) == 10
        np.testing.assert_allclose(other_sums, sums, rtol=1e-8)
    for weights, other in zip(one.model.get_weights(), two.model.get_weights(), strict=True):
        np.testing.assert_allclose(other, weights, rtol=0, atol=1e-8 * np.abs(weights).max())


class Killed(BaseException):
    """In place of the signal."""


def test_a_killed_run_ends_with_the_weights_of_one_left_alone(
    data, train_here, tmp_path, monkeypatch
):
    """Twice: within an epoch, whose sums of each part are saved, and in the second stage."""
    config = configured(
        data,
        deterministic=True,
        model__dropout=0.3,
        epochs=4,
        steps_per_epoch=4,
        checkpoint__every_steps=3,
        optimizer__accumulate_steps=2,
        stages=({"epochs": 2, "trainable": "head", "learning_rate": 0.01}, {}),
    )
    alone = train_here(config, data, tmp_path / "alone")
    call = Steps._call
    for step in (7, 13):

        def until(self, batches, count, step=step):
            if self.done == step:
                raise Killed
            call(self, batches, count)

        with monkeypatch.context() as patch:
            patch.setattr(Steps, "_call", until)
            with pytest.raises(Killed):
                train_here(config, data, tmp_path / "run")
    report = train_here(config, data, tmp_path / "run")
    assert report["weights_digest"] == alone["weights_digest"]
    names = ("loss", "class_loss", "numbers_loss", "accuracy", "r2", "val_numbers_loss", "val_r2")
    for name in names:
        assert report["metrics"]["last"][name] == alone["metrics"]["last"][name], name
