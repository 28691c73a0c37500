"""Tasks over hosts: few at a time of each, tried again where that may help."""

from __future__ import annotations

import threading
import time

import pytest

from preprocess.download import schedule
from preprocess.download.schedule import HostQueues, Task, run
from preprocess.download.web_client import FetchError


def test_of_each_host_only_so_many_are_at_work():
    active: dict[str, int] = {"a": 0, "b": 0}
    most = dict(active)
    lock, together = threading.Lock(), threading.Barrier(4)

    def work(task):
        host, number = task
        with lock:
            active[host] += 1
            most[host] = max(most[host], active[host])
        if number < 2:
            together.wait(20)  # two of each host are at work at once
        with lock:
            active[host] -= 1
        return task

    tasks = [Task(host, (host, number)) for host in "ab" for number in range(10)]
    done = [work for work, _ in run(tasks, work, workers=8, per_host=2)]
    assert sorted(done) == sorted(task.work for task in tasks)
    assert most == {"a": 2, "b": 2}


def test_what_may_pass_is_tried_again_and_the_rest_is_not():
    asked: list[str] = []

    def work(task):
        asked.append(task)
        raise FetchError("x", "y", passing=task == "busy")

    tasks = [Task("a", "busy"), Task("b", "gone")]
    results = dict(run(tasks, work, workers=2, per_host=1, first_pause=0.01))
    assert {task: error.reason for task, error in results.items()} == {"busy": "x", "gone": "x"}
    assert sorted(asked) == ["busy"] * schedule.ATTEMPTS + ["gone"]


def test_a_host_that_asks_for_a_pause_gets_it_while_others_go_on(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    queues: HostQueues[str] = HostQueues(per_host=1)
    queues.add(Task("a", "a1"), pause=30)
    queues.add(Task("b", "b1"))
    assert queues.take() == Task("b", "b1")
    assert queues.take() is None
    assert queues.pause() == 30
    now[0] += 30
    assert queues.take() == Task("a", "a1")


def test_a_fault_of_ours_is_raised():
    def work(_):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        list(run([Task("a", 1)], work, workers=1, per_host=1))
