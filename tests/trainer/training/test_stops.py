"""A training that stops in the middle, in this process: it ends where one left alone ends.

What a process loses when it is killed is what the next Loop does not have; test_kills.py does
the same to real processes.
"""

import dataclasses
import errno
import json
import resource
import shutil
import signal

import pytest
import tensorflow as tf

from preprocess.shell.errors import ConfigError, OutputError, full_disk
from tests.trainer import datasets
from tests.trainer.conftest import train_in_process
from tests.trainer.kills import check_records, rows_without_times
from tests.trainer.workers.double_precision import FLOAT32_DENSE
from trainer.models import build_model
from trainer.tasks.task import make_task
from trainer.training import evaluation
from trainer.training.checkpoints import LAST, Checkpoints
from trainer.training.state_files import StateFiles
from trainer.training.steps import Steps

SHARED = {
    "model__backbone": "mlp",
    "epochs": 6,
    "steps_per_epoch": 4,  # passes have 5 and 3 steps
    "optimizer__name": "adabound",
    "checkpoint__every_steps": 3,
    "early_stopping__patience": 4,
    "early_stopping__min_delta": 100.0,  # so it stops after epoch 5
    "reduce_on_plateau__patience": 1,
    "data__log_records": True,
    "augment__enabled": True,
    "augment__flip": True,
}
STEPS = 20


class Killed(BaseException):
    """Stands for a SIGKILL: nothing of ours catches it."""


def killed_after(step):
    def patch(monkeypatch):
        call = Steps._call

        def mortal(self, batches, count):
            if self.done >= step:
                raise Killed
            call(self, batches, count)

        monkeypatch.setattr(Steps, "_call", mortal)

    return patch


def terminated_after(step):
    def patch(monkeypatch):
        call = Steps._call

        def told(self, batches, count):
            call(self, batches, count)
            if self.done >= step:
                self._run.signals.received = signal.SIGTERM

        monkeypatch.setattr(Steps, "_call", told)

    return patch


def killed_in_save(number):
    def patch(monkeypatch):
        write, saves = StateFiles.write, iter(range(number))

        def torn(self, folder):
            write(self, folder)
            if next(saves, None) is None:
                raise Killed

        monkeypatch.setattr(StateFiles, "write", torn)

    return patch


def in_validation(number, stop):
    """At the second batch of a validation; in the first ones of a life nothing is unsaved."""

    def patch(monkeypatch):
        outputs, rounds = evaluation.Evaluator.outputs, iter(range(number))

        def stopped(self, draw=None, between=lambda: None):
            if next(rounds, None) is None:
                stop(between.__self__)
            return outputs(self, draw, between)

        monkeypatch.setattr(evaluation.Evaluator, "outputs", stopped)

    return patch


def kill(loop):
    raise Killed


def terminate(loop):
    loop.run.signals.received = signal.SIGTERM


# A process that is killed in a step, a save or a validation, or told to end in a step or a
# validation.
STOPS = {
    "triplets": [
        killed_after(2),  # nothing saved yet
        in_validation(1, terminate),
        killed_in_save(0),
    ],
    "classes": [
        terminated_after(5),
        killed_in_save(0),
        in_validation(0, kill),
        killed_after(16),  # the step before is in no state
    ],
}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("task", "base", "data", "records", "steps_a_call"),
    [
        ("triplets", datasets.TRIPLET, "triplet_data", 33, 1),
        ("classes", datasets.CLASSIFICATION, "class_data", 21, 3),
    ],
    ids=list(STOPS),
)
def test_a_run_stopped_at_every_kind_of_moment_ends_as_one_left_alone(
    request, tmp_path, train_here, task, base, data, records, steps_a_call
):
    data = request.getfixturevalue(data)
    config = datasets.configuration(base, steps_per_execution=steps_a_call, **SHARED)
    expected = train_here(config, data, tmp_path / "calm", replicas=2)
    assert (expected["steps"], expected["epochs"]) == (STEPS, 5)
    for stop in STOPS[task]:
        with pytest.MonkeyPatch.context() as patch:
            stop(patch)
            with pytest.raises((Killed, SystemExit)) as ended:
                train_here(config, data, tmp_path / "run", replicas=2)
        if isinstance(ended.value, SystemExit):
            assert ended.value.code == 75
    report = train_here(config, data, tmp_path / "run", replicas=2)
    assert report["weights_digest"] == expected["weights_digest"]
    assert rows_without_times(tmp_path / "run") == rows_without_times(tmp_path / "calm")
    for run in ("calm", "run"):
        check_records(tmp_path / run, STEPS, records, 8)


def small(**changes):
    return datasets.configuration(
        datasets.TRIPLET, **{"model__backbone": "mlp", "steps_per_epoch": 2, **changes}
    )


@pytest.fixture(scope="module")
def small_run(triplet_data, tmp_path_factory):
    """A finished run of small(epochs=1), which `trained` copies."""
    run = tmp_path_factory.mktemp("small") / "run"
    with pytest.MonkeyPatch.context() as patch:
        train_in_process(patch, small(epochs=1), triplet_data, run)
    return run


@pytest.fixture
def trained(small_run, tmp_path):
    """A run directory as small(epochs=1) leaves it."""
    return shutil.copytree(small_run, tmp_path / "run")


def states(run):
    return [path.name for path in Checkpoints(run / "checkpoints").states(LAST)]


def test_a_full_disk_ends_with_74_and_the_last_state_is_kept(
    trained, triplet_data, tmp_path, train_here
):
    """A limit on the size of files, below that of a state (4 MB), stands for the full disk."""
    run = trained
    kept = states(run)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, hard))
    try:
        with pytest.raises(OutputError, match="make room and run the same command") as caught:
            train_here(small(epochs=2), triplet_data, run)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert caught.value.exit_code == 74
    assert states(run) == kept == ["step-00000002-epoch-00001"]
    assert not list((run / "checkpoints").rglob("tmp-*"))  # it does not fill the disk further
    report = train_here(small(epochs=2), triplet_data, run)
    expected = train_here(small(epochs=2), triplet_data, tmp_path / "calm")
    assert report["weights_digest"] == expected["weights_digest"]


def test_a_full_disk_is_not_taken_for_full_memory():
    """TensorFlow has one class for both; the words tell."""
    disk = tf.errors.ResourceExhaustedError(None, None, "run/x; No space left on device")
    memory = tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor")
    assert full_disk(disk) == "no space left on device"
    assert full_disk(OSError(errno.EDQUOT, "Disk quota exceeded")) == "disk quota exceeded"
    assert full_disk(memory) is None
    assert full_disk(OSError(errno.EACCES, "Permission denied")) is None


def test_another_number_of_replicas_goes_on_and_says_what_is_lost(
    triplet_data, tmp_path, train_here
):
    """The order of the records is the same; sums of floats differ in their last bits."""
    changes = {"model__backbone": "mlp", "optimizer__name": "sgd", "data__log_records": True}
    train_here(
        small(epochs=1, virtual_replicas=2, **changes), triplet_data, tmp_path / "run", replicas=2
    )
    config = small(epochs=3, virtual_replicas=1, **changes)
    report = train_here(config, triplet_data, tmp_path / "run")
    (warning,) = [line for line in report["said"] if line.startswith("warning")]
    assert "saved on 2 replicas, resuming on 1" in warning and "summed in another order" in warning
    assert "BatchNorm" not in warning  # there is none in this network
    expected = train_here(config, triplet_data, tmp_path / "calm")
    check_records(tmp_path / "run", 6, 33, 8)
    last, other = report["metrics"]["last"], expected["metrics"]["last"]
    assert last["loss"] == pytest.approx(other["loss"], rel=FLOAT32_DENSE)


def test_another_global_batch_is_refused(trained, triplet_data, train_here):
    with pytest.raises(ConfigError, match=r"batch_size \(8 -> 16\)"):
        train_here(small(epochs=2, batch_size=16), triplet_data, trained)


def test_another_way_to_sum_gradients_goes_on_with_a_warning(trained, triplet_data, train_here):
    changed = small(epochs=2, distribute__all_reduce="one_device")
    said = train_here(changed, triplet_data, trained)["said"]
    assert any("summed by auto, and now by one_device" in line for line in said)


def test_another_tensorflow_goes_on_with_a_warning(trained, triplet_data, train_here):
    """What the run directory says it was saved under is changed; the state itself is the same."""
    file = trained / "config.json"
    record = json.loads(file.read_text())
    record["versions"]["tensorflow"] = "2.99.0"
    file.write_text(json.dumps(record))
    said = train_here(small(epochs=2), triplet_data, trained)["said"]
    assert any(line.startswith("warning: saved under TensorFlow 2.99.0") for line in said)
    said = train_here(small(epochs=3), triplet_data, trained)["said"]
    assert not any("saved under TensorFlow" in line for line in said)


def test_a_state_is_never_replaced_by_itself(triplet_data, tmp_path, train_here, monkeypatch):
    """Saved at step 4, an epoch's end, by `every_steps`; the save before the validation would put
    the same state in place of the only one, and a kill in between would lose both.
    """
    saved = []
    publish = Checkpoints.publish

    def noting(self, kind, name, *ways):
        if kind == LAST:
            saved.append(name)
        publish(self, kind, name, *ways)

    monkeypatch.setattr(Checkpoints, "publish", noting)
    config = small(epochs=2, steps_per_epoch=4, checkpoint__every_steps=4)
    train_here(config, triplet_data, tmp_path / "run")
    states = [(4, 0), (4, 1), (8, 1), (8, 2)]
    assert saved == [f"step-{step:08d}-epoch-{epochs:05d}" for step, epochs in states]


def test_first_weights_are_not_looked_for_when_a_run_goes_on(
    trained, triplet_data, tmp_path, train_here
):
    """They came from another run, which is gone by the second life."""
    source = trained.rename(tmp_path / "source")
    config = small(epochs=1, model__weights=str(source))
    said = train_here(config, triplet_data, tmp_path / "next")["said"]
    assert any("backbone and head" in line for line in said)
    source.rename(tmp_path / "gone")
    config = dataclasses.replace(config, epochs=2)
    assert train_here(config, triplet_data, tmp_path / "next")["epochs"] == 2


@pytest.mark.parametrize(
    ("trainable", "moved"),
    [("dense_1", ["dense_1", "embedding"]), ("head", ["embedding"])],
)
def test_no_weights_move_that_are_frozen(triplet_data, tmp_path, train_here, trainable, moved):
    """Bit for bit, through AdaBound with its momentum, against the weights as they were drawn."""
    config = small(epochs=1, model__trainable=trainable, optimizer__name="adabound")
    train_here(config, triplet_data, tmp_path / "run", model=True)
    trained = tf.keras.models.load_model(tmp_path / "run" / "model")
    tf.keras.utils.set_random_seed(config.seed)
    drawn = build_model(config, make_task(config).head)

    def bits(model, name):
        owner = model.get_layer("backbone") if name.startswith("dense") else model
        return [weight.tobytes() for weight in owner.get_layer(name).get_weights()]

    names = ("dense_0", "dense_1", "embedding")
    assert [name for name in names if bits(trained, name) != bits(drawn, name)] == moved
