"""Which batches can be divided, and how replicas are described."""

import pytest

from preprocess.shell.errors import ConfigError
from tests.trainer import datasets
from trainer.workers import devices


def test_a_batch_that_does_not_divide_among_real_devices_is_refused():
    config = datasets.configuration(datasets.TRIPLET, batch_size=10)
    devices.check_replicas(config, 5)
    with pytest.raises(ConfigError, match=r"batch_size=10 .* 4 replicas; set a multiple of 4"):
        devices.check_replicas(config, 4)


def test_xla_is_refused_with_several_replicas():
    config = datasets.configuration(datasets.TRIPLET, jit_compile=True)
    devices.check_replicas(config, 1)
    with pytest.raises(ConfigError, match="jit_compile"):
        devices.check_replicas(config, 2)


def test_replicas_are_described_in_words(replicas):
    assert devices.describe(replicas) == "2 replicas (CPU)"
