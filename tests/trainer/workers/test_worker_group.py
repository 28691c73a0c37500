"""The end of a run of several workers, with collectives made up."""

from types import SimpleNamespace

import pytest
import tensorflow as tf

from trainer.workers import worker_group
from trainer.workers.worker_group import WorkerGroup


def workers(rank, error):
    """One of two workers, whose collectives fail."""

    def fail(_):
        raise error

    found = WorkerGroup()
    found._cluster = SimpleNamespace(rank=rank, size=2, addresses=["localhost:1", "localhost:1"])
    found._sum = fail
    return found


def gone():
    return tf.errors.UnavailableError(None, None, "Connection reset by peer")


def test_the_first_worker_may_see_another_leave_before_the_last_answer():
    workers(0, gone()).leave()


def test_another_worker_that_sees_the_first_one_gone_says_so():
    with pytest.raises(tf.errors.UnavailableError):
        workers(1, gone()).leave()


def test_what_is_no_leaving_is_not_hidden():
    with pytest.raises(tf.errors.InvalidArgumentError):
        workers(0, tf.errors.InvalidArgumentError(None, None, "a bad shape")).leave()


@pytest.mark.parametrize(
    ("others", "cores", "memory"),
    [([], 1, 1), (["this one"], 2, 2), (["other memory"], 2, 1), (["other machine"] * 2, 1, 1)],
)
def test_those_count_that_share_cores_or_memory(monkeypatch, others, cores, memory):
    def gathered(_, values):
        machine, cores, memory = values
        rows = {
            "this one": [machine, cores, memory],
            "other memory": [machine, cores, memory + 1],
            "other machine": [machine + 1, cores, memory],
        }
        return [rows[name] for name in ("this one", *others)]

    monkeypatch.setattr(WorkerGroup, "gather", gathered)
    group = WorkerGroup()
    assert (group.on_these_cores, group.in_this_memory) == (cores, memory)
    monkeypatch.setattr(worker_group, "boot_number", lambda: 0)
    assert WorkerGroup().in_this_memory == 1, "of a machine that is not known"
