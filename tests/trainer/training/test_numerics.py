"""`debug.check_numerics` and `debug.eager`: they name what was put in, and change nothing."""

import dataclasses
import json

import numpy as np
import pytest
import tensorflow as tf

from tests.trainer import datasets
from tests.trainer.optimizers.plain_keras import batches, configured
from trainer.training.numerics import LayerSeen, StepSeen, clean, in_words, largest
from trainer.training.steps import Diverged, Steps

EAGER = {"debug__eager": True}


def every_part(**changes):
    return configured(
        epochs=1,
        steps_per_epoch=4,
        steps_per_execution=2,
        deterministic=True,
        model__dropout=0.3,
        augment__enabled=True,
        augment__flip=True,
        optimizer__accumulate_steps=2,
        **changes,
    )


def test_neither_changes_what_is_learned(class_data, train_here, tmp_path):
    """All that a step can have, on two replicas. Eager operations are rounded one by one."""
    digests, losses = [], []
    for name, key in (("plain", {}), ("check", {"debug__check_numerics": True}), ("eager", EAGER)):
        report = train_here(every_part(**key), class_data, tmp_path / name, 2)
        assert report["steps"] == 4
        digests.append(report["weights_digest"])
        losses.append(report["metrics"]["last"]["loss"])
    assert digests[0] == digests[1]
    assert losses[2] == pytest.approx(losses[0], rel=1e-4)
    assert not tf.config.functions_run_eagerly()


def diverged(config, data, train_here, run, replicas=1):
    with pytest.raises(Diverged) as caught:
        train_here(config, data, run, replicas)
    return str(caught.value)


def poison(monkeypatch, at, change):
    """Calls `change(session)` before step `at`, counted from 0, once it is looked at."""
    call = Steps._call

    def changing(self, batches, count):
        if self.done == at:
            change(self._run.session)
        call(self, batches, count)

    monkeypatch.setattr(Steps, "_call", changing)


@pytest.mark.parametrize("replicas", [1, 2])
def test_the_first_layer_that_overflows_is_named_inside_of_the_network(
    replicas, class_data, train_here, tmp_path, monkeypatch
):
    def enlarge(session):
        kernel = next(w for w in session.model.weights if w.shape == (500, 500))
        kernel.assign(tf.sign(kernel) * 1e38)

    poison(monkeypatch, 3, enlarge)
    config = configured(debug__check_numerics=True)
    said = diverged(config, class_data, train_here, tmp_path / "run", replicas)
    first = said.splitlines()[0]
    assert first.startswith("step 4: first not finite was the layer dense_1 (Dense): its input is ")
    assert first.endswith("its weights up to 1e+38")
    assert "[x] steps too long: weights are up to" in said


@pytest.mark.parametrize("replicas", [1, 2])
def test_the_records_whose_loss_is_not_finite_are_named(
    replicas, class_data, train_here, tmp_path, monkeypatch
):
    """Those of one class in the first batch."""
    from trainer.tasks.task import Task

    loss = Task.loss

    def broken(self, outputs, batch):
        losses = loss(self, outputs, batch)
        return tf.where(batch["label"] == 1, losses / 0.0, losses)

    monkeypatch.setattr(Task, "loss", broken)
    config = configured(debug__check_numerics=True)
    said = diverged(config, class_data, train_here, tmp_path / "run", replicas)
    lines = said.splitlines()
    assert lines[0].startswith("step 1: first not finite was the loss, from outputs of the model")
    named = [int(each) for each in lines[1].rpartition(": ")[2].partition(" and ")[0].split(", ")]
    batch = {name: value.numpy() for name, value in next(batches(config, class_data)).items()}
    assert sorted(named) == sorted(batch["record"][batch["label"] == 1].tolist())
    assert "[x] a loss with a logarithm, root or division of 0" in said


def test_the_run_that_diverged_says_why_when_run_again(class_data, train_here, tmp_path):
    """Without the check the run says how to find out; run again with it, it resumes and does."""
    config = configured(optimizer__learning_rate=1e38, epochs=1)
    with pytest.raises(Diverged):
        train_here(config, class_data, tmp_path / "run")
    again = configured(optimizer__learning_rate=1e38, epochs=1, debug__check_numerics=True)
    said = diverged(again, class_data, train_here, tmp_path / "run")
    assert said.startswith("step 2: first not finite was the layer dense_0 (Dense): ")
    assert "[x] steps too long" in said


def test_the_end_of_float16_is_told_from_steps_too_long():
    layers = (
        LayerSeen("conv", "Conv2D", 1.0, 9e3, 0.1, True),
        LayerSeen("next", "Conv2D", 9e3, float("nan"), 0.4, True),
        LayerSeen("last", "Dense", float("nan"), float("nan"), 0.4, False),
    )
    said = in_words(StepSeen(layers, (), float("nan"), ()), 7, configured())
    assert said.splitlines()[0] == (
        "step 7: first not finite was the layer next (Conv2D): its input is up to 9e+03, its "
        "weights up to 0.4"
    )
    assert "[x] float16, which ends at 65,504" in said and "[ ] steps too long" in said


def test_another_workers_fault_is_not_called_the_update():
    """All that this process computed is finite; there are more replicas elsewhere."""
    seen = StepSeen((LayerSeen("a", "Dense", 1.0, 1.0, 1.0, False),), (), 1.0, (("a", 1.0),))
    assert clean(seen)
    assert not clean(dataclasses.replace(seen, records=(3,)))
    assert not clean(dataclasses.replace(seen, gradients=(("a", float("nan")),)))


def test_a_gradient_alone_is_named_by_its_weight():
    seen = StepSeen((), (), 1.0, (("a/kernel", 1.0), ("b/bias", float("inf"))))
    said = in_words(seen, 7, configured())
    assert "step 7: first not finite was the gradient of b/bias; the loss was finite" in said


def test_an_update_that_overflows_is_a_step_too_long():
    said = in_words(StepSeen((), (), 1.0, (("a/kernel", 1.0),)), 7, configured())
    assert "first not finite was a weight or a slot of the optimizer, after the update" in said
    assert "[x] steps too long" in said


def test_the_largest_of_a_structure():
    assert largest([tf.constant([1.0, -3.0]), {"a": tf.constant([2], tf.int32)}]) == 3.0
    assert np.isnan(largest([tf.constant([1.0, np.inf])]))
    assert largest([tf.zeros([0]), None, "text"]) == 0.0


def test_divergence_says_how_to_find_out(class_data, tmp_path):
    config = datasets.write_config(
        tmp_path / "config.py",
        datasets.CLASSIFICATION,
        **{"optimizer.name": "sgd", "optimizer.learning_rate": 1e38, "model.backbone": "mlp"},
    )
    flags = ["train", f"--config={config}", f"--data={class_data}", f"--workdir={tmp_path / 'run'}"]
    done = datasets.command("trainer", *flags)
    assert done.returncode == 70
    assert "--config.debug.check_numerics=true" in done.stderr
    done = datasets.command("trainer", *flags, "--config.debug.check_numerics=true")
    assert done.returncode == 70, done.stderr
    assert "first not finite was" in done.stderr and "Traceback" not in done.stderr
    assert json.loads((tmp_path / "run/config.json").read_text())["config"]["debug"]
