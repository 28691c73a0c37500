"""When a training validates: every so many epochs or steps, through stops and restarts."""

import json
import signal

import numpy as np
import pytest

from preprocess.shell.errors import ConfigError
from tests.trainer.kills import rows_without_times
from tests.trainer.training.test_callbacks import FixedValidation
from tests.trainer.training.test_loop import rows, state, triplet
from trainer.config.running_sections import ValidationConfig
from trainer.monitoring.time_account import account, read_attempts
from trainer.monitoring.timeline import Activity
from trainer.report.curves import curves
from trainer.report.overfitting import reading
from trainer.training import evaluation, validation
from trainer.training.checkpoints import BEST, LAST, Checkpoints
from trainer.training.run_directory import RunDirectory
from trainer.training.steps import Steps
from trainer.training.validation import next_validation, validates_after, validations_an_epoch


def validated(run):
    return [(row["epoch"], row["step"]) for row in rows(run) if "val_loss" in row]


def counted(monkeypatch):
    """The validations as they are made."""
    made = []
    row = validation.Validation.row
    monkeypatch.setattr(
        validation.Validation, "row", lambda self, between: made.append(0) or row(self, between)
    )
    return made


class Killed(BaseException):
    """Stands for SIGKILL."""


def test_every_second_epoch_and_the_last_one_are_validated(
    triplet_data, tmp_path, train_here, monkeypatch
):
    made = counted(monkeypatch)
    config = triplet(epochs=5, steps_per_epoch=2, validation__every_epochs=2)
    report = train_here(config, triplet_data, tmp_path / "run", pictures=True)
    assert [row["epoch"] for row in rows(tmp_path / "run")] == [1, 2, 3, 4, 5]
    assert [epoch for epoch, _ in validated(tmp_path / "run")] == [2, 4, 5]
    assert len(made) == 3
    assert "val_loss" in report["metrics"]["last"]
    losses = {row["epoch"]: row["val_loss"] for row in rows(tmp_path / "run") if "val_loss" in row}
    best = min(losses, key=losses.get)
    assert report["metrics"]["best"]["epoch"] == state(tmp_path / "run", BEST)["epochs"] == best
    assert "Triplet accuracy" in (tmp_path / "run" / "report.html").read_text()


def test_steps_between_validations_do_not_follow_the_epochs(triplet_data, tmp_path, train_here):
    """Every 3 of 10 steps in epochs of 5: 3 within the first, 6 and 9 within the second, and 10,
    as the run ends there. Weights are those of a run that is validated at each epoch.
    """
    config = triplet(epochs=2, steps_per_epoch=5, validation__every_steps=3)
    report = train_here(config, triplet_data, tmp_path / "run", pictures=True)
    assert validated(tmp_path / "run") == [(0.6, 3), (1.2, 6), (1.8, 9), (2, 10)]
    assert [row["epoch"] for row in rows(tmp_path / "run") if "loss" in row] == [1, 2]
    usual = train_here(triplet(epochs=2, steps_per_epoch=5), triplet_data, tmp_path / "usual")
    assert report["weights_digest"] == usual["weights_digest"]
    trained = [row["loss"] for row in rows(tmp_path / "run") if "loss" in row]
    assert trained == [row["loss"] for row in rows(tmp_path / "usual")]
    (attempt,) = read_attempts(RunDirectory(str(tmp_path / "run")).timeline_file(0))
    entered = [moment.activity for moment, _ in attempt.intervals()]
    assert entered.count(Activity.VALIDATION) == 4
    assert account([attempt]).seconds[Activity.VALIDATION] > 0
    page = (tmp_path / "run" / "report.html").read_text()
    assert "the whole run" in page.lower()


def test_a_step_that_ends_an_epoch_is_validated_once(triplet_data, tmp_path, train_here):
    config = triplet(epochs=2, steps_per_epoch=4, validation__every_steps=2, steps_per_execution=3)
    train_here(config, triplet_data, tmp_path / "run")
    assert validated(tmp_path / "run") == [(0.5, 2), (1, 4), (1.5, 6), (2, 8)]


def test_the_best_state_may_be_one_within_an_epoch(triplet_data, tmp_path, train_here, monkeypatch):
    """val_loss at the steps 2, 4, 6 and 8: the lowest at step 6, one half into epoch 2."""
    monkeypatch.setattr(validation, "figures", FixedValidation([4.0, 3.0, 1.0, 2.0, 2.0]))
    config = triplet(epochs=2, steps_per_epoch=4, validation__every_steps=2)
    report = train_here(config, triplet_data, tmp_path / "run")
    (best,) = Checkpoints(tmp_path / "run" / "checkpoints").states(BEST)
    assert best.name == "step-00000006-epoch-00001-validated"
    assert report["metrics"]["best"]["epoch"] == 1.5


@pytest.mark.parametrize(
    ("when", "losses", "last", "since"),
    [
        # Validated after the epochs 2, 4, 6: the second without improvement is epoch 6.
        ({"validation__every_epochs": 2, "steps_per_epoch": 1}, [1.0, 2.0, 2.0], 6, "epoch 2 "),
        # After every second step of four: the second without improvement is step 6.
        ({"validation__every_steps": 2, "steps_per_epoch": 4}, [1.0, 2.0, 2.0], 6, "epoch 0.5 "),
    ],
)
def test_patience_counts_validations(
    triplet_data, tmp_path, train_here, monkeypatch, when, losses, last, since
):
    monkeypatch.setattr(validation, "figures", FixedValidation([*losses, *[2.0] * 20]))
    config = triplet(epochs=20, early_stopping__patience=2, **when)
    report = train_here(config, triplet_data, tmp_path / "run")
    assert report["steps"] == last
    assert f"val_loss has not improved since {since}" in report["stopped"]
    assert rows(tmp_path / "run")[-1]["step"] == last
    again = train_here(config, triplet_data, tmp_path / "run")
    assert (again["steps"], again["stopped"]) == (last, report["stopped"])
    onward = triplet(epochs=20, early_stopping__patience=4, **when)
    assert train_here(onward, triplet_data, tmp_path / "run")["steps"] > last


def test_a_run_that_stops_by_its_training_loss_is_validated_at_its_end(
    triplet_data, tmp_path, train_here
):
    """With a rate of nearly 0 the loss does not fall by 0.5 in two epochs: epoch 3 is the last."""
    config = triplet(
        epochs=9,
        steps_per_epoch=1,
        validation__every_epochs=8,
        checkpoint__best_metric="loss",
        early_stopping__patience=2,
        early_stopping__min_delta=1e5,
    )
    report = train_here(config, triplet_data, tmp_path / "run")
    assert report["epochs"] == 3
    assert [epoch for epoch, _ in validated(tmp_path / "run")] == [3]


def test_the_rate_is_cut_by_validations_within_an_epoch(
    triplet_data, tmp_path, train_here, monkeypatch
):
    """Patience 1, factor 0.5: step 4 is no better than step 2, so step 5 has half the rate."""
    monkeypatch.setattr(validation, "figures", FixedValidation([1.0, 2.0, 0.5, 0.4, 0.4]))
    config = triplet(
        epochs=1,
        steps_per_epoch=8,
        validation__every_steps=2,
        reduce_on_plateau__patience=1,
        reduce_on_plateau__factor=0.5,
    )
    train_here(config, triplet_data, tmp_path / "run")
    rates = [row["learning_rate"] for row in rows(tmp_path / "run")]
    assert rates == pytest.approx([1e-3, 1e-3, 5e-4, 5e-4])


def killed_after_step(patch, step):
    call = Steps._call

    def killed(self, batches, steps):
        call(self, batches, steps)
        if self.done >= step:
            raise Killed

    patch.setattr(Steps, "_call", killed)


def in_validation(patch, number, stop):
    """At the first batch of a validation, counted from 0."""
    outputs, rounds = evaluation.Evaluator.outputs, iter(range(number))

    def stopped(self, draw=None, between=lambda: None):
        if next(rounds, None) is None:
            stop(between.__self__)
        return outputs(self, draw, between)

    patch.setattr(evaluation.Evaluator, "outputs", stopped)


def kill(loop):
    raise Killed


def terminate(loop):
    loop.run.signals.received = signal.SIGTERM


STOPS = [
    lambda patch: killed_after_step(patch, 2),
    lambda patch: in_validation(patch, 0, kill),  # saved before it, as it is the first one
    lambda patch: in_validation(patch, 1, terminate),  # saved within it
    lambda patch: killed_after_step(patch, 11),
    lambda patch: in_validation(patch, 1, kill),  # that of the end of the run
]


def test_a_run_killed_around_its_validations_ends_as_one_left_alone(
    triplet_data, tmp_path, train_here
):
    """On two replicas, with a rate that is cut: 14 steps in epochs of 7, validated every 3 steps,
    saved every 2.
    """
    config = triplet(
        deterministic=True,
        epochs=2,
        steps_per_epoch=7,
        validation__every_steps=3,
        checkpoint__every_steps=2,
        reduce_on_plateau__patience=1,
        early_stopping__patience=9,
        model__dropout=0.3,
    )
    expected = train_here(config, triplet_data, tmp_path / "calm", replicas=2)
    for stop in STOPS:
        with pytest.MonkeyPatch.context() as patch:
            stop(patch)
            with pytest.raises((Killed, SystemExit)):
                train_here(config, triplet_data, tmp_path / "run", replicas=2)
    report = train_here(config, triplet_data, tmp_path / "run", replicas=2)
    assert report["weights_digest"] == expected["weights_digest"]
    assert rows_without_times(tmp_path / "run") == rows_without_times(tmp_path / "calm")
    assert state(tmp_path / "run")["callbacks"] == state(tmp_path / "calm")["callbacks"]
    best = [state(tmp_path / run, BEST)["step"] for run in ("run", "calm")]
    assert best[0] == best[1]


def test_a_state_saved_on_both_sides_of_a_validation_has_two_names(
    triplet_data, tmp_path, train_here, monkeypatch
):
    """Before it as the first one is traced, after it as the run stops there: the second must not
    take the place of the first, or a kill in between would leave none.
    """
    monkeypatch.setattr(validation, "figures", FixedValidation([2.0] * 9))
    config = triplet(
        epochs=1,
        steps_per_epoch=6,
        validation__every_steps=2,
        early_stopping__patience=1,
        checkpoint__keep=9,
        checkpoint__every_steps=4,
    )
    train_here(config, triplet_data, tmp_path / "run")
    names = [path.name for path in Checkpoints(tmp_path / "run" / "checkpoints").states(LAST)]
    assert names == [
        "step-00000004-epoch-00000-validated",
        "step-00000004-epoch-00000",
        "step-00000002-epoch-00000",
    ]


def test_when_to_validate_may_change_on_resume_where_no_rate_depends_on_it(
    triplet_data, tmp_path, train_here
):
    train_here(triplet(epochs=1, steps_per_epoch=4), triplet_data, tmp_path / "run")
    often = {"epochs": 2, "steps_per_epoch": 4, "validation__every_steps": 2}
    train_here(triplet(**often), triplet_data, tmp_path / "run")
    assert validated(tmp_path / "run") == [(1, 4), (1.5, 6), (2, 8)]
    cut = {"reduce_on_plateau__patience": 3}
    train_here(triplet(epochs=1, steps_per_epoch=4, **cut), triplet_data, tmp_path / "cut")
    with pytest.raises(ConfigError, match=r"validation\.every_steps \(0 -> 2\)"):
        train_here(triplet(**often, **cut), triplet_data, tmp_path / "cut")


def test_rows_within_an_epoch_that_no_state_knows_are_dropped(tmp_path):
    """The state: one epoch, validated up to step 6."""
    run = RunDirectory(str(tmp_path / "run"))
    run.make()
    for epoch, step in ((0.5, 2), (1, 4), (1.5, 6), (1.75, 7), (2, 8)):
        run.append({"epoch": epoch, "step": step})
    assert [row["step"] for row in run.history(1, 6)] == [2, 4, 6]
    lines = run.metrics_file.read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [2, 4, 6]


@pytest.mark.parametrize(
    ("every", "step", "last", "expected"),
    [(3, 0, 0, 3), (3, 3, 0, 3), (3, 3, 3, 6), (3, 4, 3, 6), (5, 5, 5, 10), (1, 7, 7, 8)],
)
def test_the_next_validation_is_the_next_multiple_that_is_missing(every, step, last, expected):
    assert next_validation(ValidationConfig(every_steps=every), step, last) == expected


def test_without_steps_nothing_is_validated_within_an_epoch():
    assert next_validation(ValidationConfig(every_epochs=2), 3, 0) > 10**12
    found = [
        epoch
        for epoch in range(1, 8)
        if validates_after(ValidationConfig(every_epochs=3), epoch, 0)
    ]
    assert found == [3, 6]
    assert validations_an_epoch(ValidationConfig(every_epochs=4), 100) == 0.25
    assert validations_an_epoch(ValidationConfig(every_steps=25), 100) == 4


HISTORY = [
    {"epoch": 0.5, "step": 2, "val_loss": 3.0},
    {"epoch": 1, "step": 4, "loss": 2.0, "step_ms": 9.0},
    {"epoch": 1.5, "step": 6, "val_loss": 2.0},
    {"epoch": 2, "step": 8, "loss": 1.0, "val_loss": 1.0, "step_ms": 1.0},
]


def test_a_curve_goes_through_the_rows_that_have_it():
    """No gap where nothing was validated, or where the row is of a validation alone."""
    training, held_out = curves(HISTORY, "loss")
    assert (training.epochs.tolist(), training.values.tolist()) == ([0.5, 1.5], [2.0, 1.0])
    assert (held_out.epochs.tolist(), held_out.values.tolist()) == ([0.5, 1.5, 2], [3.0, 2.0, 1.0])
    assert not np.isnan(training.values).any()


def test_over_fitting_is_read_from_validations_within_epochs():
    """The training loss between two epochs is that of its neighbours."""
    rising = [{"epoch": 1 + i / 4, "val_loss": 1.0 + abs(i - 2) / 2} for i in range(1, 9) if i % 4]
    epochs = [{"epoch": 1, "loss": 2.0}, {"epoch": 2, "loss": 1.0}, {"epoch": 3, "loss": 0.5}]
    history = sorted([*rising, *epochs], key=lambda row: row["epoch"])
    assert reading(history).startswith("Over-fitting: the validation loss was lowest at epoch 1.5")
