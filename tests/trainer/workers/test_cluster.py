"""TF_CONFIG: who this worker is, and what is refused."""

import json

import pytest

from preprocess.shell.errors import ConfigError
from trainer.workers.cluster import cluster_of_environment, parse_cluster

WORKERS = {"worker": ["a:1", "b:2"]}
WITH_CHIEF = {"worker": ["a:1", "b:2"], "chief": ["c:3"]}


def config(cluster, kind="worker", index=0):
    return json.dumps({"cluster": cluster, "task": {"type": kind, "index": index}})


@pytest.mark.parametrize(
    ("cluster", "kind", "index", "rank", "leader"),
    [
        (WORKERS, "worker", 0, 0, "/job:worker/replica:0/task:0"),
        (WORKERS, "worker", 1, 1, "/job:worker/replica:0/task:0"),
        (WITH_CHIEF, "chief", 0, 0, "/job:chief/replica:0/task:0"),
        (WITH_CHIEF, "worker", 0, 1, "/job:chief/replica:0/task:0"),
        (WITH_CHIEF, "worker", 1, 2, "/job:chief/replica:0/task:0"),
    ],
)
def test_ranks_count_the_chief_first_and_rank_0_leads(cluster, kind, index, rank, leader):
    found = parse_cluster(config(cluster, kind, index))
    assert (found.rank, found.leader) == (rank, leader)
    assert found.size == sum(map(len, cluster.values()))
    own = cluster[kind][index]
    assert found.addresses[rank] == own
    assert found.name(rank) == f"worker {rank} ({own})"


def test_all_workers_of_a_cluster_share_its_digest_and_no_other_does():
    digests = {parse_cluster(config(WORKERS, index=index)).digest for index in (0, 1)}
    assert len(digests) == 1
    assert parse_cluster(config(WITH_CHIEF)).digest not in digests


@pytest.mark.parametrize(
    "text", ["{}", config({"worker": ["a:1"]}), config({"chief": ["a:1"]}, "chief")]
)
def test_one_process_is_no_cluster(text):
    assert parse_cluster(text) is None


def test_without_tf_config_there_is_no_cluster(monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    assert cluster_of_environment() is None
    monkeypatch.setenv("TF_CONFIG", config(WORKERS, index=1))
    assert cluster_of_environment().rank == 1


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "Expecting property name"),
        ("[]", "not a JSON object"),
        ('{"cluster": []}', "cluster is not an object"),
        ('{"cluster": {"worker": ["a:1", "b:2"]}}', "'task' is missing"),
        ('{"cluster": {"worker": ["a:1", "b:2"]}, "task": 5}', "not subscriptable"),
        ('{"cluster": {"worker": "a:1"}, "task": {}}', "cluster.worker is not a list"),
        (config(WORKERS, index=2), "task worker 2 is not in the cluster"),
        (config(WORKERS, index=-1), "task worker -1 is not in the cluster"),
        (config(WORKERS, index="x"), "invalid literal for int"),
        (config(WITH_CHIEF, "evaluator"), "task evaluator 0 is not in the cluster"),
        (config({**WORKERS, "ps": ["d:4"]}), "unsupported task type 'ps'"),
        (config({**WORKERS, "chief": ["c:3", "d:4"]}), "more than one task"),
        (config({"worker": ["a:1", "a:1"]}), "a:1 is listed twice"),
        (config({"worker": ["a:1", "b"]}), "'b' is not HOST:PORT"),
        (config({"worker": ["a:1", "b:99999"]}), "'b:99999' is not HOST:PORT"),
        (config({"worker": ["a:1", ":5"]}), "':5' is not HOST:PORT"),
        (config({"worker": ["a:1", 5]}), "5 is not HOST:PORT"),
    ],
)
def test_a_tf_config_that_is_none_is_refused_with_reason_text_and_example(text, reason):
    with pytest.raises(ConfigError) as caught:
        parse_cluster(text)
    message = str(caught.value)
    assert reason in message and text in message and '"task": {"type"' in message
    assert "\n" not in message
