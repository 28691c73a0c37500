"""Saved states: one whole state is there whatever happens, and damage is noticed."""

import itertools
import os
import shutil
import threading
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from preprocess.dataset_format import TRIPLET
from preprocess.shell.errors import ConfigError, DataError
from tests.trainer import datasets
from trainer.training import checkpoints, state_files
from trainer.training.checkpoints import BEST, LAST, Checkpoints
from trainer.training.session import add_optimizer, build_session


@pytest.fixture(scope="module")
def session():
    """A small session with an optimizer, on one replica."""
    return make_session(tf.distribute.MirroredStrategy(["CPU:0"]))


def make_session(strategy, backbone="mlp"):
    tf.keras.utils.set_random_seed(0)
    config = datasets.configuration(
        datasets.TRIPLET, model__backbone=backbone, image_size=32, augment__crop=0
    )
    session = build_session(config, strategy, TRIPLET)
    add_optimizer(session, 10)
    return session


def save(states, session, step, epochs=0, kind=LAST):
    states.save(kind, session, {"step": step, "epochs": epochs})


def names(states, kind=LAST):
    return [path.name for path in states.states(kind)]


def test_the_newest_states_are_kept_newest_first(session, tmp_path):
    states = Checkpoints(tmp_path, keep=2)
    for step in (5, 10, 15):
        save(states, session, step)
    assert names(states) == ["step-00000015-epoch-00000", "step-00000010-epoch-00000"]


def test_best_is_one_and_apart(session, tmp_path):
    states = Checkpoints(tmp_path, keep=3)
    for step in (5, 10):
        save(states, session, step, kind=BEST)
    save(states, session, 20)
    assert names(states, BEST) == ["step-00000010-epoch-00000"]
    assert names(states, LAST) == ["step-00000020-epoch-00000"]


def test_a_state_of_a_lost_life_does_not_outlive_the_one_that_replaces_it(session, tmp_path):
    """Best at step 20, then the run goes on from an older state and is best at step 10."""
    states = Checkpoints(tmp_path)
    save(states, session, 20, kind=BEST)
    save(states, session, 10, kind=BEST)
    assert names(states, BEST) == ["step-00000010-epoch-00000"]


def test_weights_and_slots_come_back(session, tmp_path):
    states = Checkpoints(tmp_path)
    weight, slot = session.model.weights[0], session.model.optimizer.variables[1]
    weight.assign(tf.fill(weight.shape, 1.25))
    slot.assign(tf.cast(tf.fill(slot.shape, 3), slot.dtype))
    digest = session.weights_digest()
    save(states, session, 5)
    weight.assign(tf.zeros(weight.shape))
    slot.assign(tf.zeros(slot.shape, slot.dtype))
    assert session.weights_digest() != digest
    (path,) = states.states(LAST)
    states.restore(path, session)
    assert session.weights_digest() == digest
    np.testing.assert_array_equal(slot.numpy(), np.full(slot.shape, 3))


def test_killed_at_any_moment_of_a_save_a_whole_state_is_there(session, tmp_path, monkeypatch):
    """Every file operation of a save is the last one of a process in its turn. The state before
    an epoch's validation and the one after it have the same step, and keep is 1.
    """
    operations = [(Path, "rename"), (Path, "mkdir"), (shutil, "rmtree")]
    operations += [(os, "replace"), (os, "fsync"), (np, "savez")]
    for survived in itertools.count():
        root = tmp_path / str(survived)
        states = Checkpoints(root)
        save(states, session, 5, 0)
        done = itertools.count()

        def mortal(real, done=done, survived=survived):
            def operation(*args, **kwargs):
                if next(done) >= survived:
                    raise KeyboardInterrupt
                return real(*args, **kwargs)

            return operation

        with monkeypatch.context() as patch:
            for owner, name in operations:
                patch.setattr(owner, name, mortal(getattr(owner, name)))
            try:
                save(states, session, 5, 1)
                finished = True
            except KeyboardInterrupt:
                finished = False
        assert names(states)
        for path in states.states(LAST):
            states.restore(path, session)
        save(states, session, 6, 1)  # and what was left behind does not hinder the next save
        assert names(states) == ["step-00000006-epoch-00001"]
        if finished:
            break
    assert survived > 5


def damage(path, how):
    data = next(path.glob("state.data-*"))
    if how == "no data":
        data.unlink()
    elif how == "short data":
        data.write_bytes(data.read_bytes()[:-100])
    elif how == "flipped bit":
        content = bytearray(data.read_bytes())
        content[len(content) // 2] ^= 1
        data.write_bytes(content)
    elif how == "replicas":
        (path / "replicas.npz").write_bytes(b"PK\x03\x04 but not a zip archive")
    elif how == "empty replicas":
        (path / "replicas.npz").write_bytes(b"")
    else:
        (path / "state.index").write_bytes(b"nonsense")


@pytest.mark.parametrize(
    "how", ["no data", "short data", "flipped bit", "replicas", "empty replicas", "index"]
)
def test_a_damaged_state_is_refused_in_one_line(session, tmp_path, how):
    states = Checkpoints(tmp_path)
    save(states, session, 5)
    (path,) = states.states(LAST)
    damage(path, how)
    with pytest.raises(DataError, match="step-00000005") as caught:
        states.restore(path, session)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["{", "[]", '{"step": 5}', ""])
def test_a_damaged_state_json_is_refused(session, tmp_path, text):
    states = Checkpoints(tmp_path)
    save(states, session, 5)
    (path,) = states.states(LAST)
    (path / "state.json").write_text(text)
    with pytest.raises(DataError, match="damaged"):
        states.read_state(path)


def test_weights_of_a_run_that_was_never_saved_are_refused(session, tmp_path):
    with pytest.raises(DataError, match="no best checkpoint"):
        Checkpoints(tmp_path).load_weights(BEST, session)


class FakeWorkers:
    """Two workers without TensorFlow between them: barrier() returns when both have come."""

    def __init__(self, rank, barrier):
        self.rank, self.size, self.chief = rank, 2, rank == 0
        self.barrier = barrier.wait


def pair(*folders):
    """Checkpoints of worker 0 and worker 1 in their folders."""
    barrier = threading.Barrier(2, timeout=30)
    groups = [FakeWorkers(rank, barrier) for rank in range(2)]
    return [Checkpoints(f, workers=workers) for f, workers in zip(folders, groups, strict=True)]


def test_a_state_gets_its_name_when_every_worker_has_written_its_part(
    session, tmp_path, monkeypatch
):
    """And each one gets its own part back: worker n wrote n."""
    rank = threading.local()
    monkeypatch.setattr(state_files, "replica_values", lambda model: {"0/0": rank.value})
    monkeypatch.setattr(checkpoints, "set_replica_values", lambda model, got: seen.append(got))
    seen = []
    chief, worker = pair(tmp_path, tmp_path)

    def as_worker():
        rank.value = 1
        save(worker, session, 5)

    other = threading.Thread(target=as_worker)
    rank.value = 0
    other.start()
    other.join(1)
    assert other.is_alive() and names(chief) == []
    save(chief, session, 5)
    other.join(30)
    (path,) = chief.states(LAST)
    assert {"replicas.npz", "replicas-1.npz"} <= {file.name for file in path.iterdir()}
    for states, own in ((chief, 0), (worker, 1)):
        (path / "state.json").write_text('{"step": 5, "epochs": 0, "workers": 2}')
        states.restore(path, session)
        assert seen.pop() == {"0/0": own}
    # Another number of workers: the mean, which TensorFlow's own files hold.
    Checkpoints(tmp_path).restore(path, session)
    assert seen == []


def test_workers_that_do_not_share_their_folder_are_told(session, tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoints, "SEEN_SECONDS", 0.1)
    chief, worker = pair(tmp_path / "here", tmp_path / "there")
    other = threading.Thread(target=save, args=(worker, session, 5))
    other.start()
    with pytest.raises(ConfigError, match=r"worker 1 .* storage that all workers share"):
        save(chief, session, 5)
    other.join(30)
    assert names(chief) == []


def test_what_a_lost_life_left_half_written_is_dropped_by_the_chief_alone(tmp_path):
    torn = tmp_path / LAST / "tmp-step-00000005-epoch-00000"
    torn.mkdir(parents=True)
    chief, worker = pair(tmp_path, tmp_path)
    worker.drop_torn()
    assert torn.exists()
    chief.drop_torn()
    assert not torn.exists()


@pytest.mark.slow
def test_statistics_of_each_replica_come_back_apart(replicas, tmp_path):
    """BatchNorm keeps a moving mean a replica: 1 and 2 come back as 1 and 2, not as 1.5 twice."""
    session = make_session(replicas, "keras:MobileNetV2")
    shared = next(w for w in session.model.weights if "moving_mean" in w.name)
    for number, component in enumerate(shared.values):
        component.assign(tf.fill(component.shape, number + 1.0))
    states = Checkpoints(tmp_path)
    save(states, session, 5)
    for component in shared.values:
        component.assign(tf.zeros(component.shape))
    (path,) = states.states(LAST)
    states.restore(path, session)
    assert [float(component[0]) for component in shared.values] == [1.0, 2.0]
    assert len(session.weights_digest()) == 64
