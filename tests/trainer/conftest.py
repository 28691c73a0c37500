"""TensorFlow as the trainer's tests want it: two virtual CPU devices, few threads."""

import functools
import sys
from typing import Any

import pytest


@functools.cache
def _two_cpus() -> None:
    """Split the CPU in two.

    TensorFlow allows it before its first operation only, so no test module may run one at import,
    such as an optimizer or a tensor among the values of a parametrize.
    """
    import tensorflow as tf

    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    tf.config.threading.set_intra_op_parallelism_threads(2)
    tf.config.threading.set_inter_op_parallelism_threads(2)


@pytest.fixture(autouse=True)
def _devices(request: pytest.FixtureRequest) -> None:
    """Set up before each test, where TensorFlow is there by now.

    Test modules that use it import it at their top, so it is there before the first test; the
    others never wait for it.
    """
    if "tensorflow" in sys.modules:
        _two_cpus()


@pytest.fixture(scope="session")
def replicas() -> Any:
    """A MirroredStrategy of two replicas."""
    import tensorflow as tf

    _two_cpus()
    return tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
