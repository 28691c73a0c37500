"""Verdict: the run's files and the right cause, for a plain loop and for Keras."""

import json
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from preprocess.shell.json_text import JsonObject
from trainer.bottleneck import keras_loop
from trainer.monitoring import Verdict, timing

STEPS = 8  # an epoch


class Clock:
    """Stands in for the module `time`: moves only when told."""

    def __init__(self):
        self.now = 100.0

    def perf_counter(self):
        return self.now

    def pass_(self, seconds):
        self.now += seconds


@pytest.fixture
def clock(monkeypatch):
    made = Clock()
    monkeypatch.setattr(timing, "time", made)
    monkeypatch.setattr(keras_loop, "time", made)
    return made


def loop(run, clock, *, wait=0.001, step=0.01, epochs=2, verdict=None):
    """Epochs of STEPS steps; a batch takes `wait` seconds and a step `step`."""
    with verdict or Verdict(str(run), batch_size=4) as verdict:
        for epoch in range(epochs):
            for _ in range(STEPS):
                clock.pass_(wait)
                with verdict.step():
                    clock.pass_(step)
            with verdict.during("validation"):
                clock.pass_(5)
            verdict.epoch(loss=1 / (epoch + 1))
    return report(run)


def report(run) -> JsonObject:
    return json.loads((run / "report.json").read_text())


def rows(run):
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.parametrize(
    ("wait", "step", "kind"),
    [(0.03, 0.01, "input"), (0.001, 0.03, "compute"), (0.0, 0.001, "compute")],
)
def test_what_holds_a_loop_back_is_named(tmp_path, clock, capsys, wait, step, kind):
    found = loop(tmp_path / "run", clock, wait=wait, step=step)["bottleneck"]
    assert (found["kind"], found["source"]) == (kind, "loop")
    assert found["verdict"] in capsys.readouterr().err
    last = rows(tmp_path / "run")[-1]
    assert last["input_wait_fraction"] == pytest.approx(wait / (wait + step))
    assert last["step_ms"] == pytest.approx(1000 * (wait + step))
    assert last["images_per_second"] == pytest.approx(4 / (wait + step))


def test_a_report_has_the_keys_of_the_trainer(tmp_path, clock):
    found = loop(tmp_path / "run", clock)
    assert (found["steps"], found["epochs"]) == (2 * STEPS, 2)
    assert found["metrics"]["last"]["loss"] == 0.5
    assert found["time"]["attempts"] == 1
    assert found["time"]["wall_seconds"] > 0
    assert {"kind", "stage", "verdict", "source", "advice"} <= found["bottleneck"].keys()


def test_a_loop_that_is_cut_off_has_the_report_of_its_last_epoch(tmp_path, clock):
    verdict = Verdict(str(tmp_path / "run"), batch_size=4)
    with verdict.step():
        clock.pass_(0.1)
    verdict.epoch(loss=1.0)
    with verdict.step():
        clock.pass_(0.1)
    assert report(tmp_path / "run")["steps"] == 1
    verdict.close()
    assert report(tmp_path / "run")["steps"] == 2


def test_a_loop_that_continues_drops_the_rows_after_its_state(tmp_path, clock):
    run = tmp_path / "run"
    loop(run, clock, epochs=3)
    again = Verdict(str(run), batch_size=4, first_step=2 * STEPS)
    found = loop(run, clock, epochs=1, verdict=again)
    assert [(row["epoch"], row["step"]) for row in rows(run)] == [(n, n * STEPS) for n in (1, 2, 3)]
    assert rows(run)[-1]["loss"] == 1
    assert (found["steps"], found["epochs"], found["time"]["attempts"]) == (3 * STEPS, 3, 2)
    # Third epoch of the first attempt, done again.
    assert found["time"]["redone_steps"] == STEPS


def test_an_error_of_the_loop_is_the_loop_s_and_the_timeline_says_it_did_not_finish(tmp_path):
    with pytest.raises(ZeroDivisionError), Verdict(str(tmp_path)) as verdict, verdict.step():
        raise ZeroDivisionError
    last = (tmp_path / "timeline" / "worker-0.jsonl").read_text().splitlines()[-1]
    assert json.loads(last)["finished"] is False


def fitted(run, clock, wait, step, watched=True) -> JsonObject:
    """The report of model.fit where each batch takes `wait` seconds, and each step `step`."""

    def taking(seconds, after):
        """An operation that takes so long, once a tensor is there."""

        def passed(_):
            clock.pass_(seconds)
            return np.bool_(True)

        return tf.numpy_function(passed, [after], tf.bool)

    class Slow(tf.keras.layers.Layer):
        def call(self, inputs, training=False):
            if not training:
                return inputs
            with tf.control_dependencies([taking(step, inputs)]):
                return tf.identity(inputs)

    def batch(number):
        with tf.control_dependencies([taking(wait, number)]):
            return tf.ones([4, 3]), tf.zeros([4, 1])

    model = tf.keras.Sequential([Slow(), tf.keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    verdict = Verdict(str(run), batch_size=4)
    batches = tf.data.Dataset.range(100).map(batch)
    model.fit(
        verdict.watch(batches) if watched else batches,
        steps_per_epoch=STEPS,
        epochs=2,
        callbacks=[verdict],
        validation_data=(tf.ones([4, 3]), tf.zeros([4, 1])),
        verbose=0,
    )
    return report(run)


@pytest.mark.parametrize(("wait", "step", "kind"), [(0.03, 0.01, "input"), (0.0, 0.03, "compute")])
def test_what_holds_keras_back_is_named(tmp_path, clock, wait, step, kind):
    found = fitted(tmp_path, clock, wait, step)
    assert found["bottleneck"]["kind"] == kind
    assert (found["steps"], found["epochs"]) == (2 * STEPS, 2)
    last = rows(tmp_path)[-1]
    assert {"loss", "val_loss"} <= last.keys()
    assert last["input_wait_fraction"] == pytest.approx(wait / (wait + step))
    activities = (tmp_path / "timeline" / "worker-0.jsonl").read_text()
    assert activities.count('"validation"') == 2


def test_keras_without_a_watched_dataset_is_not_said_to_wait(tmp_path, clock):
    """No time passes in the input, which runs ahead: it would be anybody's on the one clock."""
    found = fitted(tmp_path, clock, 0.0, 0.02, watched=False)
    assert found["bottleneck"]["kind"] == "unknown"
    assert rows(tmp_path)[-1]["input_wait_fraction"] is None


def test_verdict_is_a_keras_callback_where_tensorflow_is_loaded(tmp_path):
    assert isinstance(Verdict(str(tmp_path)), tf.keras.callbacks.Callback)


def test_a_loop_without_tensorflow_stays_without_it(tmp_path):
    script = (
        "import sys\n"
        "from trainer.monitoring import Verdict\n"
        "with Verdict(sys.argv[1]) as verdict:\n"
        "    with verdict.step(): pass\n"
        "    verdict.epoch(loss=1)\n"
        "print(sorted({'tensorflow', 'keras', 'matplotlib'} & sys.modules.keys()))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
