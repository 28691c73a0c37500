"""What the loop does by its figures: divergence, the best state, early stopping, plateaus."""

import numpy as np
import pytest
import tensorflow as tf

from tests.trainer.training.test_loop import rows, state, triplet
from trainer.training.callbacks import Callbacks
from trainer.training.checkpoints import BEST, LAST, Checkpoints
from trainer.training.steps import Diverged, Steps


def test_a_diverging_run_keeps_the_state_before_it(triplet_data, tmp_path, train_here, monkeypatch):
    """In epoch 2 a weight becomes infinite at each step."""
    train_here(triplet(epochs=1), triplet_data, tmp_path / "run")
    kept = state(tmp_path / "run")
    steps = Steps._call

    def overflow(self, batches, count):
        steps(self, batches, count)
        weight = self._run.session.model.trainable_variables[0]
        weight.assign(weight * np.inf)

    with monkeypatch.context() as patch:
        patch.setattr(Steps, "_call", overflow)
        with pytest.raises(Diverged):
            train_here(triplet(epochs=2), triplet_data, tmp_path / "run")
    assert state(tmp_path / "run") == kept
    assert [row["epoch"] for row in rows(tmp_path / "run")] == [1]


@pytest.mark.parametrize("best_metric", ["", "triplet_accuracy", "val_triplet_accuracy"])
def test_no_nan_is_ever_saved_not_even_as_best(triplet_data, tmp_path, train_here, best_metric):
    config = triplet(
        optimizer__learning_rate=1e38, optimizer__name="sgd", checkpoint__best_metric=best_metric
    )
    with pytest.raises(Diverged):
        train_here(config, triplet_data, tmp_path / "run")
    for kind in (LAST, BEST):
        assert Checkpoints(tmp_path / "run" / "checkpoints").states(kind) == []
    assert rows(tmp_path / "run") == []


def test_best_is_kept_apart_from_last(triplet_data, tmp_path, train_here):
    """Best = the epoch of lowest val_loss, wherever it is."""
    report = train_here(
        triplet(epochs=4, optimizer__learning_rate=0.05), triplet_data, tmp_path / "run"
    )
    losses = [row["val_loss"] for row in rows(tmp_path / "run")]
    best = int(np.argmin(losses)) + 1
    assert state(tmp_path / "run", BEST)["epochs"] == best
    assert state(tmp_path / "run", LAST)["epochs"] == 4
    assert report["metrics"]["best"]["epoch"] == best
    assert report["metrics"]["last"]["epoch"] == 4


class FixedValidation:
    """Stands for the figures of a validation: val_loss as listed, by epoch."""

    def __init__(self, losses):
        self.losses = iter(losses)

    def __call__(self, *unused):
        loss = next(self.losses)
        return {"loss": loss, "triplet_accuracy": 0.5, "interval": [0.4, 0.6]}


def test_early_stopping_counts_on_after_a_restart(triplet_data, tmp_path, train_here, monkeypatch):
    """Patience 3: the best is epoch 1, so epochs 2, 3 and 4 wait, and 4 is the last one. A stop
    after epoch 2 must not make it wait anew.
    """
    from trainer.training import validation

    config = {"steps_per_epoch": 1, "early_stopping__patience": 3}
    monkeypatch.setattr(validation, "figures", FixedValidation([1.0, 2.0]))
    train_here(triplet(epochs=2, **config), triplet_data, tmp_path / "run")
    monkeypatch.setattr(validation, "figures", FixedValidation([2.0] * 8))
    report = train_here(triplet(epochs=9, **config), triplet_data, tmp_path / "run")
    assert report["epochs"] == 4
    assert report["stopped"].startswith("early")
    again = train_here(triplet(epochs=9, **config), triplet_data, tmp_path / "run")
    assert again["epochs"] == 4


def test_the_learning_rate_is_cut_on_a_plateau_and_stays_cut_after_a_restart(
    triplet_data, tmp_path, train_here, monkeypatch
):
    """Patience 1, factor 0.5: epoch 2 is no better than epoch 1, so epoch 3 has half the rate."""
    from trainer.training import validation

    config = {
        "steps_per_epoch": 1,
        "reduce_on_plateau__patience": 1,
        "reduce_on_plateau__factor": 0.5,
    }
    monkeypatch.setattr(validation, "figures", FixedValidation([1.0, 2.0]))
    train_here(triplet(epochs=2, **config), triplet_data, tmp_path / "run")
    monkeypatch.setattr(validation, "figures", FixedValidation([0.5]))
    train_here(triplet(epochs=3, **config), triplet_data, tmp_path / "run")
    rates = [row["learning_rate"] for row in rows(tmp_path / "run")]
    assert rates == pytest.approx([1e-3, 1e-3, 5e-4])


def test_the_metric_that_is_watched_decides_what_is_better():
    """For an accuracy more is better, for a loss less."""
    model = tf.keras.Sequential([tf.keras.layers.Dense(1)])
    by_loss = Callbacks(triplet(), model)
    by_hits = Callbacks(triplet(checkpoint__best_metric="val_triplet_accuracy"), model)
    assert (by_loss.metric, by_loss.greater) == ("val_loss", False)
    assert by_loss.better(0.1, 0.2) and not by_loss.better(0.2, 0.2)
    assert by_hits.better(0.2, 0.1) and not by_hits.better(0.1, 0.1)
    assert by_hits.better(0.0, None)
