"""Who writes, and which batches can be divided."""

import json

import pytest

from tests.trainer import datasets
from trainer import devices
from trainer.errors import ConfigError

WORKERS = {"worker": ["a:1", "b:1"]}
WITH_CHIEF = {"chief": ["c:1"], **WORKERS}


@pytest.mark.parametrize(
    ("cluster", "kind", "index", "chief"),
    [
        (WORKERS, "worker", 0, True),
        (WORKERS, "worker", 1, False),
        (WITH_CHIEF, "chief", 0, True),
        (WITH_CHIEF, "worker", 0, False),
        (WITH_CHIEF, "evaluator", 0, False),
    ],
)
def test_the_chief_is_the_task_of_that_name_or_else_worker_0(cluster, kind, index, chief):
    text = json.dumps({"cluster": cluster, "task": {"type": kind, "index": index}})
    assert devices.is_chief(text) is chief


def test_one_process_is_its_own_chief(monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    assert devices.is_chief()
    assert devices.is_chief("{}")


@pytest.mark.parametrize("text", ["{", "[]", '{"task": 5}', '{"task": {"index": "x"}}'])
def test_a_tf_config_that_is_none_is_refused_with_its_text(text):
    with pytest.raises(ConfigError) as caught:
        devices.is_chief(text)
    assert text in str(caught.value)


def test_a_batch_that_does_not_divide_among_real_devices_is_refused():
    config = datasets.configuration(datasets.TRIPLET, batch_size=10)
    devices.check_replicas(config, 5)
    with pytest.raises(ConfigError, match=r"batch_size=10 .* 4 replicas; take a multiple of 4"):
        devices.check_replicas(config, 4)


def test_xla_is_refused_with_several_replicas():
    config = datasets.configuration(datasets.TRIPLET, jit_compile=True)
    devices.check_replicas(config, 1)
    with pytest.raises(ConfigError, match="jit_compile"):
        devices.check_replicas(config, 2)


def test_replicas_are_described_in_words(replicas):
    assert devices.describe(replicas) == "2 replicas (CPU)"
