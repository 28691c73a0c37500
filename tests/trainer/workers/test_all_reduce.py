"""How gradients are summed: what is possible where, and that the sum is the sum."""

import json
import os
import subprocess
import sys

import pytest

from preprocess.shell.errors import ConfigError
from tests.trainer import datasets
from trainer.workers.all_reduce import check_all_reduce, cross_device_ops, implementation

CPU, GPU = False, True
ONE, WORKERS = False, True
POSSIBLE = [
    ("nccl", ONE, GPU),
    ("nccl", WORKERS, GPU),
    ("hierarchical", ONE, CPU),
    ("hierarchical", ONE, GPU),
    ("one_device", ONE, CPU),
    ("one_device", ONE, GPU),
    ("ring", ONE, CPU),
    ("ring", WORKERS, CPU),
    ("ring", WORKERS, GPU),
]
WAYS = ("nccl", "hierarchical", "one_device", "ring")
KINDS = [(workers, gpus) for workers in (ONE, WORKERS) for gpus in (CPU, GPU)]


@pytest.mark.parametrize(("workers", "gpus"), KINDS)
@pytest.mark.parametrize("how", ["auto", *WAYS])
def test_what_cannot_be_on_the_devices_is_refused_with_what_can(how, workers, gpus):
    if how == "auto" or (how, workers, gpus) in POSSIBLE:
        check_all_reduce(how, workers=workers, gpus=gpus, devices=2)
        return
    with pytest.raises(ConfigError, match=f"{how} is not supported.* set auto or one of") as caught:
        check_all_reduce(how, workers=workers, gpus=gpus, devices=2)
    named = str(caught.value).partition("one of ")[2].split(", ")
    assert named == [way for way in WAYS if (way, workers, gpus) in POSSIBLE]


def test_an_odd_number_of_replicas_is_refused_where_tensorflow_loses_one():
    check_all_reduce("hierarchical", workers=ONE, gpus=CPU, devices=4)
    check_all_reduce("hierarchical", workers=ONE, gpus=CPU, devices=1)  # nothing to sum
    with pytest.raises(ConfigError, match="leave out the gradients of the last"):
        check_all_reduce("hierarchical", workers=ONE, gpus=CPU, devices=3)


def test_one_replica_has_nothing_to_sum():
    assert cross_device_ops("hierarchical", 1) is None
    assert cross_device_ops("auto", 2) is None


@pytest.mark.parametrize(
    ("how", "gpus", "expected"),
    [("auto", CPU, "RING"), ("auto", GPU, "AUTO"), ("ring", GPU, "RING"), ("nccl", GPU, "NCCL")],
)
def test_workers_communicate_as_asked(how, gpus, expected):
    assert implementation(how, gpus).value == expected


# d(sum over replicas r of (r + 1) * w) / dw = 1 + 2 + ... + R, taken off w = 0 at rate 1.
SUM = """
import json, sys
import tensorflow as tf
from trainer.workers.all_reduce import cross_device_ops
how, count = sys.argv[1], int(sys.argv[2])
cpu = tf.config.list_physical_devices("CPU")[0]
each = [tf.config.LogicalDeviceConfiguration()] * count
tf.config.set_logical_device_configuration(cpu, each)
names = [f"CPU:{i}" for i in range(count)]
strategy = tf.distribute.MirroredStrategy(names, cross_device_ops(how, count))
with strategy.scope():
    weights = [tf.Variable(tf.zeros([2])) for _ in range(5)]
    optimizer = tf.keras.optimizers.SGD(1.0)
    optimizer.build(weights)

def step():
    number = tf.distribute.get_replica_context().replica_id_in_sync_group
    factor = tf.cast(number, tf.float32) + 1
    optimizer.apply_gradients([(tf.fill([2], factor), w) for w in weights])

tf.function(lambda: strategy.run(step))()
print(json.dumps([w.numpy().tolist() for w in weights]))
"""


@pytest.mark.slow
@pytest.mark.parametrize(("how", "count"), [("hierarchical", 4), ("one_device", 3)])
def test_every_replica_is_in_the_sum(how, count):
    done = subprocess.run(
        [sys.executable, "-c", SUM, how, str(count)],
        cwd=datasets.REPOSITORY,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [[-sum(range(1, count + 1))] * 2] * 5
