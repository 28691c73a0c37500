"""Training on mixed pictures: the same on one and two replicas, and after a resume."""

import numpy as np

from tests.trainer import datasets
from tests.trainer.conftest import strategy
from tests.trainer.workers.double_precision import (
    initial_session,
    session_in_float64,
    steps_in_float64,
)
from trainer.data.dataset import load_manifest
from trainer.data.order import ReplicaSlice
from trainer.data.reader import open_reader
from trainer.training.session import add_optimizer
from trainer.training.step_functions import train_functions

STEPS = 6  # two passes of 21 records, each with padding


def configured(**changes):
    return datasets.configuration(
        datasets.CLASSIFICATION,
        model__backbone="mlp",
        model__dropout=0.0,
        optimizer__name="sgd",
        optimizer__learning_rate=0.01,
        augment__enabled=True,
        augment__mixup=0.4,
        augment__cutmix=1.0,
        augment__order=("zoom", "hue"),
        augment__zoom=0.2,
        augment__hue=0.1,
        **changes,
    )


def trained(config, data, replicas):
    """The sums of each step, and the weights."""
    session = session_in_float64(config, data, strategy(replicas))
    sums = [each for each, _ in steps_in_float64(session, data, STEPS)]
    return np.array(sums), session.model.get_weights()


def test_two_replicas_train_as_one(class_data):
    """With weights of classes, whose sum is over both of them; the other test has none.

    The model is in float64; losses of mixed labels, and so the gradients, come from float32: a
    mean of 8 rows is off by 8 * 6e-8 of them at most, in each of the steps.
    """
    config = configured(loss__class_weights={"dark": 3.0, "bright": 1.0})
    (one, weights), (two, others) = (trained(config, class_data, n) for n in (1, 2))
    np.testing.assert_allclose(one, two, rtol=8 * 6e-8 * STEPS)
    for weight, other in zip(weights, others, strict=True):
        np.testing.assert_allclose(weight, other, rtol=0, atol=1e-7 + 1e-6 * np.abs(other).max())


def test_a_resumed_run_mixes_on(class_data):
    """Weights and step are all that it needs: without slots, those are the whole state."""
    config = configured(loss__name="focal", epochs=2)
    reader = open_reader(class_data, load_manifest(class_data), "train", config, training=True)

    def steps(first, weights=None):
        """The weights after each step from the first one on."""
        session = initial_session(config, class_data, strategy(1))
        add_optimizer(session, STEPS)
        if weights:
            session.model.set_weights(weights)
            session.model.optimizer.iterations.assign(first)
        train, _ = train_functions(session)
        found = []
        for batch in reader.dataset(first, ReplicaSlice(), STEPS - first):
            train(batch)
            found.append(session.model.get_weights())
        return found

    undisturbed = steps(0)
    resumed = steps(2, undisturbed[1])
    for weight, other in zip(undisturbed[-1], resumed[-1], strict=True):
        np.testing.assert_array_equal(weight, other)
