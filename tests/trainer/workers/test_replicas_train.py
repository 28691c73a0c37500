"""Trainings on one replica and on two: the same steps, and the same run around them.

That the arithmetic is the same is shown in float64. In float32 it cannot be over many steps: a
convolution adds in another order for another batch size and on another processor, and one input
of a ReLU that comes out as -1e-7 in place of 1e-7 takes a whole term out of a gradient.
"""

import json
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from tests.trainer import datasets
from tests.trainer.conftest import strategy
from tests.trainer.workers.double_precision import (
    FLOAT32,
    initial_session,
    session_in_float64,
    steps_in_float64,
)
from trainer.training.checkpoints import LAST, Checkpoints
from trainer.training.record_log import read_record_log

SGD = {
    "model__backbone": "cnn",
    "optimizer__name": "sgd",
    "optimizer__learning_rate": 0.05,
}
# Crop and flip move pixels and compute nothing.
TRIPLETS = datasets.configuration(datasets.TRIPLET, data__log_records=True, **SGD)
CLASSES = datasets.configuration(
    datasets.CLASSIFICATION,
    data__log_records=True,
    augment__enabled=True,
    augment__flip=True,
    augment__cutout=6,
    **SGD,
)


@pytest.mark.parametrize(("data", "config"), [("triplet_data", TRIPLETS), ("class_data", CLASSES)])
def test_two_replicas_take_the_steps_of_one(request, data, config):
    """Two passes of `cnn` with dropout. 33 triplets in batches of 8: the fifth batch has one, so
    the second replica has padding only; 21 pictures: the third has five, four and one.

    A sum of n terms in float64 is off by n * 1.1e-16 of their magnitudes at most: 1e-12 for the
    3,456 places that a weight of the first convolution is summed over and ten layers behind one
    another. Ten steps make that 1e4 times as much where float32 was seen to end 5e-4 apart.
    Updates that are 1e-8 of themselves apart are still the same, and a triplet that counts twice
    or another dropout mask is a difference of 0.1.
    """
    data, count = request.getfixturevalue(data), 10
    one = session_in_float64(config, data, strategy(1))
    two = session_in_float64(config, data, strategy(2))
    start = one.model.get_weights()
    for weights, other in zip(start, two.model.get_weights(), strict=True):
        np.testing.assert_array_equal(weights, other)
    steps = zip(steps_in_float64(one, data, count), steps_in_float64(two, data, count), strict=True)
    for (sums, records), (other_sums, other_records) in steps:
        np.testing.assert_array_equal(other_records, records)
        np.testing.assert_allclose(other_sums, sums, rtol=1e-8)
    ends = zip(start, one.model.get_weights(), two.model.get_weights(), strict=True)
    for first, weights, other in ends:
        moved = np.abs(weights - first).max()
        assert moved > 0
        np.testing.assert_allclose(other, weights, rtol=0, atol=1e-8 * moved)


def rows(run):
    return [json.loads(line) for line in (Path(run) / "metrics.jsonl").read_text().splitlines()]


def weights(state):
    """Every weight of a checkpoint's model, by name."""
    reader = tf.train.load_checkpoint(str(state))
    names = [n for n in reader.get_variable_to_shape_map() if n.startswith("model/")]
    return {name: reader.get_tensor(name) for name in names if "VARIABLE_VALUE" in name}


def assert_same_training(run, expected, config, data):
    """Losses and weights of two runs of few steps in float32.

    Compared is how far the weights have moved, all of them as one vector. An optimizer that divides
    by the size of a gradient turns the rounding of small ones into steps: by less than 1 % on some
    processors, by 3.5 % on others. A replica whose part is left out, counted twice or drawn
    otherwise moves it by tens of per cent. Equality itself is proved in float64, above.
    """
    for row, other in zip(rows(run), rows(expected), strict=True):
        assert row["step"] == other["step"]
        measured = {"loss", "val_loss"} & row.keys()
        assert measured and measured == {"loss", "val_loss"} & other.keys()
        for name in measured:
            assert row[name] == pytest.approx(other[name], rel=FLOAT32)
    model = initial_session(config, data, strategy(1)).model
    start = weights(tf.train.Checkpoint(model=model).write(str(Path(run) / "start")))
    end, other = (weights(newest_state(folder)) for folder in (run, expected))
    assert end.keys() == other.keys() == start.keys() and len(end) > 5
    moved = norm([other[name] - start[name] for name in start])
    assert norm([end[name] - other[name] for name in start]) < 0.1 * moved


def newest_state(run):
    (path,) = Checkpoints(Path(run) / "checkpoints").states(LAST)
    return path / "state"


def norm(arrays):
    return float(np.sqrt(sum(np.sum(np.square(array)) for array in arrays)))


def test_a_run_on_two_replicas_is_that_on_one(triplet_data, tmp_path, train_here):
    """Two epochs with validation: the same records in the same steps, the same figures."""
    runs = [tmp_path / str(replicas) for replicas in (1, 2)]
    for replicas, run in enumerate(runs, 1):
        train_here(TRIPLETS, triplet_data, run, replicas=replicas)
    one, two = (read_record_log(run / "records.jsonl") for run in runs)
    assert one == two and len(one) == 10
    assert_same_training(runs[1], runs[0], TRIPLETS, triplet_data)
