"""Saving while training goes on: steps wait for the copy, not for the disk, and nothing is lost."""

import errno
import itertools
import os
import signal
import threading

import numpy as np
import pytest
import tensorflow as tf

from preprocess.shell.errors import OutputError
from tests.trainer import datasets
from tests.trainer.training.test_checkpoints import make_session, names, pair
from trainer.training import checkpoints
from trainer.training.checkpoints import BEST, LAST, Checkpoints
from trainer.training.state_files import StateFiles
from trainer.training.state_writer import StateWriter
from trainer.training.steps import Steps
from trainer.workers.worker_group import ALONE


@pytest.fixture(scope="module")
def session():
    return make_session(tf.distribute.MirroredStrategy(["CPU:0"]))


@pytest.fixture
def disk(monkeypatch):
    """A disk that writes nothing until this event is set."""
    ready, write = threading.Event(), StateFiles.write

    def waiting(self, folder):
        assert ready.wait(60)
        write(self, folder)

    monkeypatch.setattr(StateFiles, "write", waiting)
    yield ready
    ready.set()


@pytest.fixture
def writer(tmp_path, disk):
    made = StateWriter(Checkpoints(tmp_path / "checkpoints"), ALONE)
    yield made
    disk.set()
    made.close()


def state(step, epochs=0):
    return {"step": step, "epochs": epochs}


def fill(session, value):
    for weight in session.model.weights:
        weight.assign(tf.fill(weight.shape, value))


def test_what_is_written_is_what_was_there_at_the_step(session, writer, disk, tmp_path):
    states = Checkpoints(tmp_path / "checkpoints")
    fill(session, 1.0)
    writer.start(session, {BEST: state(5), LAST: state(5)})
    assert names(states) == names(states, BEST) == []  # and start() has returned
    fill(session, 2.0)
    disk.set()
    writer.wait()
    for kind in (BEST, LAST):
        (path,) = states.states(kind)
        fill(session, 3.0)
        states.restore(path, session)
        assert all(np.all(weight.numpy() == 1) for weight in session.model.weights)


def test_a_second_state_waits_for_the_first(session, writer, disk, tmp_path):
    writer.start(session, {LAST: state(5)})
    second = threading.Thread(target=writer.start, args=(session, {LAST: state(6)}))
    second.start()
    second.join(0.5)
    assert second.is_alive()
    disk.set()
    second.join(60)
    writer.wait()
    assert names(Checkpoints(tmp_path / "checkpoints")) == ["step-00000006-epoch-00000"]


def test_the_memory_of_a_copy_is_given_back(session, writer, disk):
    writer.start(session, {LAST: state(5)})
    held = StateFiles(session, 0)
    folder = held._folder
    assert tf.io.gfile.listdir(folder)
    held.close()
    assert not tf.io.gfile.exists(f"{folder}/state.index")
    disk.set()
    writer.wait()


def test_a_state_that_cannot_be_written_leaves_nothing_but_its_copy(
    session, writer, disk, tmp_path, monkeypatch
):
    write = StateFiles.write

    def full(self, folder):
        if folder.parent.name == LAST:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write(self, folder)

    disk.set()
    monkeypatch.setattr(StateFiles, "write", full)
    assert not writer.failed
    writer.start(session, {BEST: state(5), LAST: state(5)})
    writer._job.written.exception(60)  # the event of its failure
    assert writer.failed
    with pytest.raises(OSError, match="No space left"):
        writer.wait()
    for kind in (BEST, LAST):
        assert list((tmp_path / "checkpoints" / kind).iterdir()) == []
    # It is whole in memory, for another place.
    unsaved, files = writer.unsaved
    monkeypatch.undo()
    elsewhere = Checkpoints(tmp_path / "elsewhere")
    elsewhere.save_copy(LAST, files, unsaved)
    (path,) = elsewhere.states(LAST)
    assert elsewhere.restore(path, session)["step"] == 5


def test_a_part_that_does_not_come_any_more_is_not_waited_for(session, tmp_path, monkeypatch):
    """Another worker is lost: the state stays unfinished, and the next life drops it."""
    monkeypatch.setattr(checkpoints, "LAST_SECONDS", 0.2)
    chief, _ = pair(tmp_path, tmp_path)
    writer = StateWriter(chief, chief._workers)
    writer.start(session, {LAST: state(5)})
    writer._job.written.result(60)
    writer.close()
    assert names(chief) == []
    assert [path.name for path in (tmp_path / LAST).iterdir()] == ["tmp-step-00000005-epoch-00000"]
    chief.drop_torn()
    assert list((tmp_path / LAST).iterdir()) == []


def small():
    return datasets.configuration(
        datasets.TRIPLET,
        model__backbone="mlp",
        epochs=1,
        steps_per_epoch=12,
        checkpoint__every_steps=3,
    )


def at_step(monkeypatch, step, act):
    """`act` once the call that reaches a step has been made."""
    call = Steps._call

    def acting(self, batches, count):
        call(self, batches, count)
        if self.done == step:
            act(self)

    monkeypatch.setattr(Steps, "_call", acting)


def test_steps_go_on_while_a_state_is_written(
    triplet_data, tmp_path, train_here, monkeypatch, disk
):
    """The disk comes back only when the step before the second save is done."""
    seen = []

    def look(steps):
        seen.append(names(Checkpoints(tmp_path / "run" / "checkpoints")))
        disk.set()

    at_step(monkeypatch, 5, look)
    train_here(small(), triplet_data, tmp_path / "run")
    assert seen == [[]]
    assert names(Checkpoints(tmp_path / "run" / "checkpoints")) == ["step-00000012-epoch-00001"]


def test_a_signal_waits_for_the_state_that_is_being_written(
    triplet_data, tmp_path, train_here, monkeypatch, disk
):
    def stop(steps):
        steps._run.signals.received = signal.SIGTERM
        disk.set()

    at_step(monkeypatch, 4, stop)
    with pytest.raises(SystemExit) as ended:
        train_here(small(), triplet_data, tmp_path / "run")
    assert ended.value.code == 75
    assert names(Checkpoints(tmp_path / "run" / "checkpoints")) == ["step-00000004-epoch-00000"]


@pytest.fixture
def full_at(monkeypatch, tmp_path):
    """A function: the writing of the state with this number, from 0, finds no room."""
    monkeypatch.setenv("SHARDLINE_STATE", str(tmp_path / "elsewhere"))
    write, numbers = StateFiles.write, itertools.count()

    def full(number):
        def writing(self, folder):
            if next(numbers) == number:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            write(self, folder)

        monkeypatch.setattr(StateFiles, "write", writing)

    return full


def kept_names(tmp_path):
    (kept,) = (tmp_path / "elsewhere" / "kept-states").iterdir()
    return names(Checkpoints(kept / "checkpoints"))


def test_a_disk_that_fills_up_between_two_saves_ends_the_run_at_once(
    triplet_data, tmp_path, train_here, monkeypatch, full_at
):
    """The save of step 3 fails, which is noticed at the next step and not at the next save."""
    call, start, writers, reached = Steps._call, StateWriter.start, [], []

    def starting(self, *arguments):
        start(self, *arguments)
        writers.append(self)

    def calling(self, batches, count):
        call(self, batches, count)
        if self.done > 3:
            reached.append(self.done)
            assert writers[0]._job.written.exception(60)

    monkeypatch.setattr(StateWriter, "start", starting)
    monkeypatch.setattr(Steps, "_call", calling)
    full_at(0)
    with pytest.raises(OutputError, match=r"no space left .*The state of step 3 is kept"):
        train_here(small(), triplet_data, tmp_path / "run")
    assert reached == [4]
    assert kept_names(tmp_path) == ["step-00000003-epoch-00000"]


def test_a_signal_whose_state_cannot_be_written_has_not_saved(
    triplet_data, tmp_path, train_here, monkeypatch, full_at
):
    """Which is 74, and not the 75 of a run that has saved."""

    def stop(steps):
        steps._run.signals.received = signal.SIGTERM

    at_step(monkeypatch, 4, stop)
    full_at(1)
    with pytest.raises(OutputError, match=r"no space left .*The state of step 4 is kept"):
        train_here(small(), triplet_data, tmp_path / "run")
    assert kept_names(tmp_path) == ["step-00000004-epoch-00000"]


def test_what_is_not_written_when_something_else_ends_a_run_is_said(
    triplet_data, tmp_path, train_here, monkeypatch, full_at
):
    def fail(steps):
        raise ZeroDivisionError

    at_step(monkeypatch, 4, fail)
    full_at(0)
    with pytest.raises(ZeroDivisionError):
        train_here(small(), triplet_data, tmp_path / "run")
    said = "".join(path.read_text() for path in (tmp_path / "run" / "logs").iterdir())
    assert "the state of step 3 could not be written" in said and "No space left" in said
