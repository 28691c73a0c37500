"""The training loop, in this process: epochs, validation, restarts, traces."""

import json
import threading
import time
import weakref
from pathlib import Path

import pytest
import tensorflow as tf

from preprocess.shell.errors import ConfigError, UsageError
from tests.trainer import datasets, own_code
from tests.trainer.kills import CLOCK
from tests.trainer.stacks import needs_addons
from tests.trainer.training.test_stops import terminated_after
from trainer.data.open_input import OpenInput
from trainer.monitoring.timing import StepClock
from trainer.training.checkpoints import LAST, Checkpoints
from trainer.training.loop import Loop
from trainer.workers.worker_group import WorkerGroup


def triplet(**changes):
    """With `mlp`, which is traced in no time."""
    return datasets.configuration(datasets.TRIPLET, **{"model__backbone": "mlp", **changes})


def classes(**changes):
    return datasets.configuration(datasets.CLASSIFICATION, **{"model__backbone": "mlp", **changes})


def rows(run):
    return [json.loads(line) for line in (Path(run) / "metrics.jsonl").read_text().splitlines()]


def state(run, kind=LAST):
    """The JSON part of the only state of a kind."""
    (path,) = Checkpoints(Path(run) / "checkpoints").states(kind)
    return json.loads((path / "state.json").read_text())


def without_times(rows):
    return [{k: v for k, v in row.items() if k not in CLOCK} for row in rows]


@pytest.mark.parametrize("told", [False, True])
def test_an_input_is_closed_next_to_the_end(told, class_data, tmp_path, train_here, monkeypatch):
    """Closing it can take TensorFlow as long as the run did: neither the report waits for it, nor
    the exit that follows a signal, which holds the frames of the steps.
    """
    closed = threading.Event()
    inputs = []

    class Slow:
        """An input that takes until the report is there to close."""

        def __init__(self, batches):
            self._batches = batches
            inputs.append(weakref.ref(self))

        def __next__(self):
            return next(self._batches)

        def __iter__(self):
            return self

        def __del__(self):
            assert closed.wait(60)

    def opened(loop, real=Loop._open):
        return OpenInput(Slow(real(loop).iterator))

    monkeypatch.setattr(Loop, "_open", opened)
    before = set(threading.enumerate())  # inputs of other tests may be closing still
    if told:
        terminated_after(2)(monkeypatch)
        with pytest.raises(SystemExit) as ended:
            train_here(classes(epochs=1), class_data, tmp_path / "run")
        assert ended.value.code == 75 and ended.tb  # held, and its frames with it
    else:
        train_here(classes(epochs=1), class_data, tmp_path / "run")
    new = set(threading.enumerate()) - before
    [left] = [thread for thread in new if thread.name == "closing the input"]
    closed.set()
    left.join(60)
    assert not left.is_alive() and [one() for one in inputs] == [None]


def test_the_page_escapes_what_comes_from_outside(class_data, tmp_path, train_here):
    run = tmp_path / "<b>&run"
    train_here(classes(epochs=1), class_data, run)
    page = (run / "report.html").read_text()
    assert "&lt;b&gt;&amp;run" in page
    assert "<b>&run" not in page


def test_figures_of_each_class_are_in_the_report(class_data, tmp_path, train_here):
    report = train_here(classes(epochs=1), class_data, tmp_path / "run")
    found = report["classification"]
    assert found["split"] == "test" and found["counted"] == 10
    assert [row["class"] for row in found["per_class"]] == ["bright", "dark"]
    assert {"precision", "recall"} <= found["per_class"][0].keys()
    assert found["top_k"] == 2 and found["top_k_accuracy"] == 1.0
    assert 0 <= found["auc"] <= 1


@pytest.mark.parametrize(("steps_per_epoch", "steps"), [(2, [2, 4, 6]), (7, [7, 14, 21])])
def test_an_epoch_may_be_less_or_more_than_a_pass(
    triplet_data, tmp_path, train_here, steps_per_epoch, steps
):
    """A pass has 5 steps. The weights depend on the number of steps alone: 6 steps are 6 steps,
    whether an epoch has 2, 3 or 6 of them.
    """
    config = triplet(epochs=3, steps_per_epoch=steps_per_epoch)
    report = train_here(config, triplet_data, tmp_path / "run")
    assert [row["step"] for row in rows(tmp_path / "run")] == steps
    whole = triplet(epochs=1, steps_per_epoch=3 * steps_per_epoch)
    expected = train_here(whole, triplet_data, tmp_path / "whole")
    assert report["weights_digest"] == expected["weights_digest"]


def test_a_validation_every_two_steps_reads_the_table_of_a_pass_once(
    triplet_data, tmp_path, train_here, monkeypatch
):
    """6 steps in 3 epochs lie in passes 0 and 1; batches and tables are prepared ahead of them."""
    from trainer.data.table import PictureTable

    built = []
    build = PictureTable.build

    def noting(self, pass_number):
        if self._training:
            tf.numpy_function(lambda number: built.append(int(number)), [pass_number], [])
        return build(self, pass_number)

    monkeypatch.setattr(PictureTable, "build", noting)
    train_here(triplet(epochs=3, steps_per_epoch=2), triplet_data, tmp_path / "run")
    assert built == list(range(len(built)))


def test_several_steps_a_call_give_the_same_weights(triplet_data, tmp_path, train_here):
    """7 steps an epoch in calls of 3: 3, 3 and 1."""
    reports = [
        train_here(
            triplet(steps_per_epoch=7, steps_per_execution=calls),
            triplet_data,
            tmp_path / f"{calls}",
        )
        for calls in (1, 3)
    ]
    assert reports[0]["weights_digest"] == reports[1]["weights_digest"]
    one, other = (without_times(rows(tmp_path / str(calls))) for calls in (1, 3))
    for row, expected in zip(other, one, strict=True):
        assert row["loss"] == pytest.approx(expected["loss"], rel=1e-6)
        assert row["val_loss"] == expected["val_loss"]


@pytest.mark.parametrize(
    "changes",
    [
        {},
        # Of tensorflow-addons, of Keras's older kind.
        pytest.param({"optimizer__name": "LAMB"}, marks=needs_addons),
        # Statistics that differ between replicas, AdaBound's slots, dropout.
        pytest.param(
            {
                "model__backbone": "{mine}/network.py:body",
                "steps_per_epoch": 3,
                "model__dropout": 0.3,
                "optimizer__name": "adabound",
            },
            marks=pytest.mark.integration,
        ),
    ],
    ids=["mlp", "addons", "batchnorm"],
)
def test_going_on_for_more_epochs_ends_where_one_long_run_does(
    triplet_data, tmp_path, train_here, changes
):
    mine = own_code.write(tmp_path / "mine", network=own_code.NETWORK)
    if "model__backbone" in changes:
        changes = {**changes, "model__backbone": changes["model__backbone"].format(mine=mine)}
    train_here(triplet(epochs=1, **changes), triplet_data, tmp_path / "run", replicas=2)
    report = train_here(triplet(epochs=2, **changes), triplet_data, tmp_path / "run", replicas=2)
    expected = train_here(triplet(epochs=2, **changes), triplet_data, tmp_path / "long", replicas=2)
    assert report["weights_digest"] == expected["weights_digest"]
    assert without_times(rows(tmp_path / "run")) == without_times(rows(tmp_path / "long"))


def test_a_folder_that_is_no_run_is_left_alone(triplet_data, tmp_path, train_here):
    (tmp_path / "thesis.txt").write_text("work of years")
    with pytest.raises(UsageError, match="not a run directory"):
        train_here(triplet(), triplet_data, tmp_path)


def test_a_run_that_could_not_start_does_not_bind_the_next_one(
    triplet_data, tmp_path, train_here, monkeypatch
):
    from trainer.data import table_memory

    with monkeypatch.context() as patch:
        patch.setattr(table_memory, "available_bytes", lambda: 1000)
        with pytest.raises(ConfigError, match="bytes of memory"):
            train_here(triplet(), triplet_data, tmp_path / "run")
    assert train_here(triplet(epochs=1), triplet_data, tmp_path / "run")["steps"] == 5


@pytest.mark.parametrize("split", ["train_split", "validation_splits"])
def test_a_split_that_is_not_there_is_refused_with_those_that_are(
    triplet_data, tmp_path, train_here, split
):
    value = "valid" if split == "train_split" else ("valid",)
    with pytest.raises(ConfigError, match=r"no split 'valid'.*test, train|train, test"):
        train_here(triplet(**{f"data__{split}": value}), triplet_data, tmp_path / "run")


def test_several_validation_splits_have_names_of_their_own(triplet_data, tmp_path, train_here):
    config = triplet(epochs=1, data__validation_splits=("test", "train"))
    train_here(config, triplet_data, tmp_path / "run")
    (row,) = rows(tmp_path / "run")
    assert {"val_loss", "val_train_loss", "val_train_triplet_accuracy_interval"} <= row.keys()


def test_a_run_without_validation_watches_its_own_loss(triplet_data, tmp_path, train_here):
    config = triplet(epochs=1, data__validation_splits=())
    report = train_here(config, triplet_data, tmp_path / "run")
    assert report["metrics"]["best"]["epoch"] == 1
    assert "val_loss" not in rows(tmp_path / "run")[0]


def test_a_workers_wait_for_the_others_is_no_python_and_a_device_is_let_catch_up(
    triplet_data, tmp_path, train_here, monkeypatch
):
    """The question to the others takes 0.25 s a step, most of it. The device catches up before each
    save, here after two and four steps, and at the end of the epoch, that is what five steps took.
    """

    def slowly(workers, flag):
        time.sleep(0.25)
        return flag

    monkeypatch.setattr(WorkerGroup, "any_worker_soon", slowly)
    caught_up, plain, ended, end = [], StepClock.caught_up, [], StepClock.end
    monkeypatch.setattr(
        StepClock, "caught_up", lambda clock: (caught_up.append(len(ended)), plain(clock))
    )
    monkeypatch.setattr(StepClock, "end", lambda clock, steps: ended.append(0) or end(clock, steps))
    config = triplet(epochs=1, steps_per_epoch=5, checkpoint__every_steps=2)
    train_here(config, triplet_data, tmp_path / "run")
    (row,) = rows(tmp_path / "run")
    assert row["step_ms"] > 250
    assert row["host_fraction"] < 0.5
    assert caught_up == [1, 3, 4]  # calls that had ended before


def step_marks(trace):
    """The steps that are marked in a trace, in their order."""
    from tensorflow.tsl.profiler.protobuf import xplane_pb2

    found = []
    for path in Path(trace).glob("*.xplane.pb"):
        for plane in xplane_pb2.XSpace.FromString(path.read_bytes()).planes:
            events, stats = plane.event_metadata, plane.stat_metadata
            found += [
                stat.int64_value or stat.uint64_value
                for line in plane.lines
                for event in line.events
                if events[event.metadata_id].name == "train"
                for stat in event.stats
                if stats[stat.metadata_id].name == "step_num"
            ]
    return sorted(found)


def traces(logdir):
    """(steps it should hold, steps that are marked in it) of each trace, in their order."""
    lines = (Path(logdir) / "traces.jsonl").read_text().splitlines()
    found = []
    for line in map(json.loads, lines):
        first, last = line["steps"]
        found.append((list(range(first, last + 1)), step_marks(Path(logdir) / line["trace"])))
    return found


def test_a_trace_holds_the_steps_it_should_and_a_restart_takes_no_other(
    triplet_data, tmp_path, train_here
):
    """Steps 3 to 8 of epochs of 10; then a run that goes on at step 10 and would trace 5 to 14."""
    config = {"steps_per_epoch": 10, "profile__steps": (3, 8)}
    train_here(triplet(epochs=1, **config), triplet_data, tmp_path / "run")
    assert traces(tmp_path / "run" / "tensorboard") == [([3, 4, 5, 6, 7, 8], [3, 4, 5, 6, 7, 8])]
    config["profile__steps"] = (5, 14)
    train_here(triplet(epochs=2, **config), triplet_data, tmp_path / "run")
    assert len(traces(tmp_path / "run" / "tensorboard")) == 1


def test_a_trace_that_was_asked_for_and_did_not_come_is_said(triplet_data, tmp_path, train_here):
    report = train_here(triplet(epochs=1, profile__steps=(30, 40)), triplet_data, tmp_path / "run")
    assert any("no trace taken: " in words for words in report["said"])


def test_a_kill_between_the_row_and_the_state_leaves_no_gap(
    triplet_data, tmp_path, train_here, monkeypatch
):
    """Killed before the state of epoch 2 is saved: epoch 2 is trained and written once more."""
    save = Loop._save

    def killed(self, **how):
        if self.epochs == 2:
            raise KeyboardInterrupt
        save(self, **how)

    with monkeypatch.context() as patch:
        patch.setattr(Loop, "_save", killed)
        with pytest.raises(KeyboardInterrupt):
            train_here(triplet(epochs=3), triplet_data, tmp_path / "run")
    train_here(triplet(epochs=3), triplet_data, tmp_path / "run")
    assert [row["epoch"] for row in rows(tmp_path / "run")] == [1, 2, 3]
