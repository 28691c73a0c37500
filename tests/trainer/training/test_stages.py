"""Freezing in stages: against plain Keras, resumed at their borders, on one and two replicas."""

import dataclasses
import json

import numpy as np
import pytest

from preprocess.shell.errors import ConfigError
from tests.trainer import datasets
from tests.trainer.optimizers.plain_keras import check_equal, configured, plain, weights_of
from trainer.inference.trained_run import open_run
from trainer.training.loop import Loop
from trainer.training.steps import Steps

FIRST, SECOND, MOMENTUM = 0.1, 0.02, 0.9
STEPS_AN_EPOCH = 10
STAGES = ({"epochs": 2, "trainable": "head"}, {"trainable": "all", "learning_rate": SECOND})
HEAD = 2  # kernel and bias, the last weights of the model


class HeadThenAll:
    """Gradient descent with momentum: the head for 20 steps, then all, the velocity from 0."""

    def __init__(self):
        self.step = 0

    def __call__(self, gradients, variables):
        if self.step in (0, 2 * STEPS_AN_EPOCH):
            self.velocity = [np.zeros(variable.shape) for variable in variables]
        first = self.step < 2 * STEPS_AN_EPOCH
        pairs = list(enumerate(zip(gradients, variables, strict=True)))
        for at, (gradient, variable) in pairs[-HEAD:] if first else pairs:
            rate = FIRST if first else SECOND
            self.velocity[at] = MOMENTUM * self.velocity[at] - rate * gradient.numpy()
            variable.assign_add(self.velocity[at])
        self.step += 1


@pytest.mark.parametrize("replicas", [1, 2])
def test_fifty_steps_in_two_stages_are_those_of_plain_keras(
    replicas, class_data, train_here, tmp_path
):
    config = configured(
        epochs=5,
        steps_per_epoch=STEPS_AN_EPOCH,
        optimizer__learning_rate=FIRST,
        optimizer__args={"momentum": MOMENTUM},
        stages=STAGES,
    )
    report = train_here(config, class_data, tmp_path / "run", replicas, model=True)
    assert report["steps"] == 50
    run = open_run(str(tmp_path / "run"), "last", print)
    expected = plain(dataclasses.replace(config, stages=()), class_data, HeadThenAll())
    check_equal(weights_of(run.session.model), expected, 1e-3)
    # One history, in which each epoch has the rate it was trained at.
    rows = [json.loads(line) for line in (tmp_path / "run/metrics.jsonl").open()]
    assert [row["epoch"] for row in rows] == [1, 2, 3, 4, 5]
    assert [row["learning_rate"] for row in rows] == pytest.approx([FIRST] * 2 + [SECOND] * 3)
    assert [line for line in report["said"] if line.startswith("stage ")] == [
        "stage 1 of 2, epochs 1 to 2: trains head, learning rate 0.1, optimizer from scratch",
        "stage 2 of 2, epochs 3 to 5: trains all, learning rate 0.02, optimizer from scratch",
    ]


class Killed(BaseException):
    """In place of the signal."""


def kill_at_step(step):
    call = Steps._call

    def until(self, batches, count):
        if self.done == step:
            raise Killed
        call(self, batches, count)

    return Steps, "_call", until


def kill_between_stages(_):
    def at_the_border(self, number):
        raise Killed

    return Loop, "_enter_stage", at_the_border


# States are saved at steps 3, 4, 6, 8 ...; the first stage has 8 steps, 4 an epoch.
KILLS = {
    "in the first stage": (kill_at_step, 7),
    "between the two": (kill_between_stages, 8),
    "before the first state of the second": (kill_at_step, 8),
    "in the second stage": (kill_at_step, 11),
}


@pytest.fixture(scope="module")
def resumable():
    """All that a stage has of its own: averages, gradients summed up, warm-up, random layers."""
    return datasets.configuration(
        datasets.CLASSIFICATION,
        deterministic=True,
        augment__enabled=True,
        augment__flip=True,
        model__backbone="mlp",
        model__dropout=0.3,
        epochs=4,
        steps_per_epoch=4,
        checkpoint__every_steps=3,
        optimizer__warmup_steps=2,
        optimizer__accumulate_steps=2,
        optimizer__ema_momentum=0.9,
        stages=({"epochs": 2, "trainable": "head", "learning_rate": 0.01}, {}),
    )


@pytest.fixture(scope="module")
def undisturbed(resumable, class_data, tmp_path_factory):
    from tests.trainer.conftest import train_in_process

    with pytest.MonkeyPatch.context() as patch:
        path = tmp_path_factory.mktemp("stages") / "run"
        return train_in_process(patch, resumable, class_data, path)


@pytest.mark.parametrize("moment", KILLS)
def test_a_killed_run_ends_with_the_weights_of_one_left_alone(
    moment, resumable, undisturbed, class_data, train_here, tmp_path, monkeypatch
):
    kind, step = KILLS[moment]
    with monkeypatch.context() as patch:
        patch.setattr(*kind(step))
        with pytest.raises(Killed):
            train_here(resumable, class_data, tmp_path / "run")
    report = train_here(resumable, class_data, tmp_path / "run")
    assert report["weights_digest"] == undisturbed["weights_digest"]
    assert sum(line.startswith("resuming at step") for line in report["said"]) == 1


def test_a_layer_that_is_not_there_is_found_before_anything_is_trained(
    class_data, train_here, tmp_path
):
    config = configured(stages=({"epochs": 1}, {"trainable": "no_such_layer"}))
    with pytest.raises(ConfigError, match=r"stages\[1\].trainable='no_such_layer' is neither all"):
        train_here(config, class_data, tmp_path / "run")
    assert not (tmp_path / "run/config.json").exists()


def test_a_stage_shorter_than_its_warm_up_is_refused_at_the_start(class_data, train_here, tmp_path):
    config = configured(
        epochs=3, steps_per_epoch=4, optimizer__warmup_steps=5, stages=({"epochs": 2}, {})
    )
    with pytest.raises(ConfigError, match=r"stages\[1\]: optimizer.warmup_steps=5"):
        train_here(config, class_data, tmp_path / "run")


@pytest.mark.parametrize("explicit", [True, False])
def test_a_last_stage_that_is_made_longer_says_what_its_schedule_does(
    explicit, class_data, train_here, tmp_path
):
    """Whether the stage itself says how long it is, or lasts to the end of the run."""

    def training(epochs):
        last = {"epochs": epochs - 1} if explicit else {}
        return configured(
            epochs=epochs,
            steps_per_epoch=4,
            optimizer__schedule="CosineDecay",
            stages=({"epochs": 1, "trainable": "head"}, last),
        )

    train_here(training(2), class_data, tmp_path / "run")
    again = train_here(training(4), class_data, tmp_path / "run")
    (line,) = [line for line in again["said"] if "follows the length of the run" in line]
    assert "has changed from 4 to 12 steps: the learning rate at step 4 is" in line
