"""A loss by its name: settings from keys and from loss.args, and what is refused."""

import dataclasses

import numpy as np
import pytest

from preprocess.shell.errors import ConfigError
from trainer.config.learning_sections import LossConfig
from trainer.losses import class_loss, triplet_loss
from trainer.losses.arithmetic import squared_distances
from trainer.losses.build_loss import build_loss

RNG = np.random.default_rng(0)
EMBEDDINGS = RNG.normal(size=(5, 3, 4))
VOTES = RNG.dirichlet(np.ones(3), 5)


@pytest.mark.parametrize("name", ["", "triplet"])
def test_the_task_s_own_loss_takes_its_settings_from_the_section(name):
    loss = build_loss("triplet", LossConfig(name=name, delta=0.7))
    expected = triplet_loss(EMBEDDINGS, VOTES, 0.7)
    np.testing.assert_array_equal(loss(squared_distances(EMBEDDINGS), VOTES), expected)


def test_a_loss_without_settings_leaves_those_of_others_alone():
    logits, labels = EMBEDDINGS[:, 0], [0, 1, 2, 3, 0]
    loss = build_loss("classification", LossConfig(delta=0.7))
    np.testing.assert_array_equal(loss(logits, labels), class_loss(logits, labels))


@pytest.mark.parametrize(
    ("task", "changes", "words"),
    [
        (
            "triplet",
            {"name": "hinges"},
            "loss.name='hinges': unknown loss .did you mean 'hinge'.*; known are binary",
        ),
        ("triplet", {"name": "cross_entropy"}, "for task=classification, not for triplet"),
        ("triplet", {"args": {"dleta": 1.0}}, "loss.args.dleta: the loss triplet takes delta"),
        ("classification", {"args": {"delta": 1.0}}, "cross_entropy takes label_smoothing"),
    ],
)
def test_what_a_loss_does_not_take_is_refused(task, changes, words):
    with pytest.raises(ConfigError, match=words):
        build_loss(task, dataclasses.replace(LossConfig(), **changes))
