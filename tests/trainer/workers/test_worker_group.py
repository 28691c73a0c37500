"""The end of a run of several workers, with collectives made up."""

from types import SimpleNamespace

import pytest
import tensorflow as tf

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
