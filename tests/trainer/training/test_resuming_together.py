"""Which state workers resume from, where one of them cannot read what another can."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from preprocess.shell.errors import DataError
from trainer.training.checkpoints import BEST, LAST, STAGE
from trainer.training.resuming import restore_newest

RUN = Path("run")
OLD, NEW = RUN / "checkpoints/last/step-4-epoch-1", RUN / "checkpoints/last/step-8-epoch-2"
GOOD = RUN / "checkpoints/best/step-2-epoch-1"
STEPS = {OLD: 4, NEW: 8, GOOD: 2}
STAGES = {OLD: 0, NEW: 1, GOOD: 0}


class Meeting:
    """Where two workers, threads here, wait for each other in each collective call; that of the
    other has to be of the same kind, or both would wait for ever.
    """

    def __init__(self):
        self._barrier = threading.Barrier(2, timeout=60)
        self._calls = [None, None]

    def __call__(self, rank, kind, value):
        self._calls[rank] = (kind, value)
        self._barrier.wait()
        calls = list(self._calls)
        self._barrier.wait()
        assert calls[0][0] == calls[1][0], calls
        return [value for _, value in calls]


class Worker:
    """A worker group, the states, and the sessions, as one worker sees them."""

    def __init__(self, rank, meeting, unreadable, broken):
        self.rank, self._meeting = rank, meeting
        self._unreadable, self._broken = unreadable, broken
        self.stage, self.said = 0, []

    def any_worker(self, flag):
        return any(self._meeting(self.rank, "any", flag))

    def same(self, number):
        return len(set(self._meeting(self.rank, "same", number))) == 1

    def session_of(self, stage):
        """A model is made by all workers together: the first one's values are everybody's."""
        if stage != self.stage:
            self._meeting(self.rank, "variables", stage)
            self.stage = stage
        return self

    def drop_torn(self):
        pass

    def states(self, kind):
        return {LAST: [NEW, OLD], BEST: [GOOD]}[kind]

    def read_state(self, path):
        if path in self._unreadable:
            raise DataError(f"'{path}' is damaged: Input/output error")
        return {"step": STEPS[path], STAGE: STAGES[path]}

    def restore(self, path, session):
        assert session.stage == STAGES[path]
        if path in self._broken:
            raise DataError(f"'{path}' cannot be restored: out of range")
        return self.read_state(path)

    def resume(self):
        return restore_newest(self, self.session_of, self, self.said.append)


def resumed(unreadable=(), broken=()):
    """What each of two workers does, where one of them cannot read or restore some states."""
    meeting = Meeting()
    workers = [Worker(0, meeting, (), ()), Worker(1, meeting, unreadable, broken)]
    with ThreadPoolExecutor(2) as pool:
        futures = [pool.submit(worker.resume) for worker in workers]
        errors = [future.exception() for future in futures]
    if any(errors):
        return workers, [str(error) for error in errors if isinstance(error, DataError)]
    return workers, [future.result()["step"] for future in futures]


def test_all_are_there_and_the_newest_is_taken():
    workers, steps = resumed()
    assert steps == [8, 8]
    assert [worker.said for worker in workers] == [[], []]


@pytest.mark.parametrize("how", ["unreadable", "broken"])
def test_a_state_that_one_worker_cannot_read_is_left_out_by_all(how):
    """The newest is of the second stage, whose model only the other worker would make."""
    workers, steps = resumed(**{how: (NEW,)})
    assert steps == [4, 4]
    assert workers[0].said == [f"warning: another worker cannot restore {NEW}"]
    assert workers[1].said[0].startswith(f"warning: '{NEW}' ")
    assert [worker.stage for worker in workers] == [0, 0]


@pytest.mark.parametrize("how", ["unreadable", "broken"])
@pytest.mark.parametrize("best", [True, False])
def test_where_none_is_left_all_say_the_same_of_the_best_one(how, best):
    lost = (NEW, OLD) if best else (NEW, OLD, GOOD)
    _, errors = resumed(**{how: lost})
    assert len(errors) == 2
    assert errors[0] == errors[1]
    assert "none of the 2 saved states" in errors[0]
    assert ("the best one, of step 2, is intact" in errors[0]) == best
