"""What picks the best state where nothing is named: the accuracy of classes, else the loss."""

import json

import pytest

from preprocess.dataset_format import Manifest
from preprocess.shell.errors import ConfigError
from tests.trainer import datasets
from tests.trainer.training.test_loop import classes, rows, state, triplet
from trainer.config import load_config, to_dict
from trainer.config.best_metric import with_best_metric
from trainer.preflight import facts
from trainer.training import validation
from trainer.training.checkpoints import BEST


class FixedValidation:
    """Stands for the figures of a validation: (loss, accuracy) as listed, by epoch."""

    def __init__(self, *figures):
        self.figures = iter(figures)

    def __call__(self, *unused):
        loss, accuracy = next(self.figures)
        return {"loss": loss, "accuracy": accuracy, "counted": 4, "interval": [0.1, 0.9]}


FALLING = [(4.0, 0.25), (3.0, 0.75), (2.0, 0.75), (1.0, 0.5)]


def recorded(run):
    return json.loads((run / "config.json").read_text())["config"]["checkpoint"]["best_metric"]


def as_older_versions_wrote_it(run):
    """They wrote an empty `checkpoint.best_metric`, and watched the loss."""
    file = run / "config.json"
    record = json.loads(file.read_text())
    record["config"]["checkpoint"]["best_metric"] = ""
    file.write_text(json.dumps(record))


@pytest.mark.parametrize(
    ("base", "expected"),
    [
        (datasets.CLASSIFICATION, "val_accuracy"),
        ({**datasets.CLASSIFICATION, "data.validation_splits": ()}, ""),
        ({**datasets.CLASSIFICATION, "checkpoint.best_metric": "val_loss"}, "val_loss"),
        (datasets.TRIPLET, ""),
        ({"task": "multilabel"}, ""),
        ({"task": "regression"}, ""),
    ],
)
def test_only_classes_are_chosen_by_their_accuracy(base, expected):
    """Empty = the loss: of validation, where there is one."""
    config = datasets.configuration({"data.validation_splits": ("validation",), **base})
    assert with_best_metric(config, None).checkpoint.best_metric == expected


def test_a_run_started_by_its_loss_stays_so():
    old, new = to_dict(classes()), to_dict(classes(checkpoint__best_metric="val_accuracy"))
    assert with_best_metric(classes(), old).checkpoint.best_metric == ""
    assert with_best_metric(classes(), new).checkpoint.best_metric == "val_accuracy"
    del old["checkpoint"]  # older still
    assert with_best_metric(classes(), old).checkpoint.best_metric == ""


def test_the_best_state_of_classes_is_the_earliest_of_the_highest_accuracy(
    class_data, tmp_path, train_here, monkeypatch
):
    """Of FALLING, epoch 2: epoch 3 has the same accuracy, epoch 4 the lowest loss."""
    monkeypatch.setattr(validation, "figures", FixedValidation(*FALLING))
    report = train_here(classes(epochs=4, steps_per_epoch=1), class_data, tmp_path / "run")
    assert recorded(tmp_path / "run") == "val_accuracy"
    assert report["metrics"]["best"]["epoch"] == 2
    assert state(tmp_path / "run", BEST)["epochs"] == 2


def test_stopping_and_a_restart_watch_the_accuracy_of_classes_as_well(
    class_data, tmp_path, train_here, monkeypatch
):
    """Of FALLING, patience 2: epochs 3 and 4 do not improve on epoch 2, though their losses do. A
    restart after epoch 2 is the same run.
    """
    monkeypatch.setattr(validation, "figures", FixedValidation(*FALLING, *[(0.5, 0.5)] * 4))
    same = {"steps_per_epoch": 1, "early_stopping__patience": 2}
    train_here(classes(epochs=2, **same), class_data, tmp_path / "run")
    report = train_here(classes(epochs=9, **same), class_data, tmp_path / "run")
    assert report["epochs"] == 4
    assert "val_accuracy has not improved since epoch 2" in report["stopped"]
    assert report["metrics"]["best"]["epoch"] == 2


def test_a_run_of_an_older_version_continues_by_its_loss(
    class_data, tmp_path, train_here, monkeypatch
):
    """Of FALLING, epoch 1 done: its best value 4 is a loss, which no accuracy may be compared
    with. Epoch 4 is the best by the loss.
    """
    run = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr("trainer.train.with_best_metric", lambda config, before: config)
        patch.setattr(validation, "figures", FixedValidation(*FALLING[:1]))
        train_here(classes(epochs=1, steps_per_epoch=1), class_data, run)
    assert recorded(run) == ""
    monkeypatch.setattr(validation, "figures", FixedValidation(*FALLING[1:]))
    config = classes(epochs=4, steps_per_epoch=1)
    assert facts.run_difference(str(run), config, Manifest.load(class_data)) == (True, "")
    report = train_here(config, class_data, run)
    assert [row["val_loss"] for row in rows(run)] == [4, 3, 2, 1]
    assert report["metrics"]["best"]["epoch"] == 4
    assert state(run, BEST)["epochs"] == 4
    assert recorded(run) == ""


def test_a_finished_run_of_an_older_version_is_finished(class_data, tmp_path, train_here):
    """Nothing is trained, chosen or refused, as when a benchmark goes on from its runs."""
    run, config = tmp_path / "run", classes(epochs=1, steps_per_epoch=1)
    before = train_here(config, class_data, run)
    as_older_versions_wrote_it(run)
    again = train_here(config, class_data, run)
    assert again["weights_digest"] == before["weights_digest"]
    assert again["steps"] == before["steps"]


def test_another_metric_is_refused_on_resume(class_data, tmp_path, train_here):
    run = tmp_path / "run"
    train_here(classes(epochs=1, steps_per_epoch=1), class_data, run)
    other = classes(epochs=2, steps_per_epoch=1, checkpoint__best_metric="val_loss")
    with pytest.raises(ConfigError, match=r"best_metric \('val_accuracy' -> 'val_loss'\)"):
        train_here(other, class_data, run)


def test_triplets_are_chosen_by_their_loss(triplet_data, tmp_path, train_here):
    train_here(triplet(epochs=1, steps_per_epoch=1), triplet_data, tmp_path / "run")
    assert recorded(tmp_path / "run") == ""
    assert state(tmp_path / "run", BEST)["metric"] == "val_loss"


def test_a_run_s_configuration_begins_one_without_validation(tmp_path):
    """Which has no figure of validation: the recorded name is the default's, not the user's."""
    config = with_best_metric(datasets.configuration(datasets.CLASSIFICATION), None)
    assert config.checkpoint.best_metric == "val_accuracy"
    (tmp_path / "config.json").write_text(json.dumps({"config": to_dict(config)}))

    def best(*changes):
        return load_config(str(tmp_path), changes).checkpoint.best_metric

    without = ("data.validation_splits", "")
    assert best() == "val_accuracy"
    assert best(without) == ""
    with pytest.raises(ConfigError, match="val_accuracy"):
        best(without, ("checkpoint.best_metric", "val_accuracy"))
