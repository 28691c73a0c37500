"""A user's own optimizer, schedule and callbacks: a restart repeats them bit for bit, or they are
refused.
"""

import shutil

import pytest

from preprocess.shell.errors import ConfigError, OutputError
from tests.trainer import datasets, own_code
from tests.trainer.training.test_own_network import tried
from trainer.config.learning_sections import OptimizerConfig
from trainer.optimizers.schedules import build_schedule
from trainer.training.checkpoints import LAST, Checkpoints
from trainer.training.run_directory import RunDirectory
from trainer.training.validation import Validation

START = "import tensorflow as tf\nO = tf.keras.optimizers\n"


def configuration(tmp_path, **changes):
    files = {"steps": own_code.OPTIMIZER, "watch": own_code.CALLBACK}
    mine = own_code.write(tmp_path / "mine", **files)
    own = {
        "model__backbone": "mlp",
        "optimizer__name": f"{mine}/steps.py:Heavy",
        "optimizer__args": {"mass": 0.5},
        "optimizer__schedule": f"{mine}/steps.py:triangle",
        "deterministic": True,
        "checkpoint__keep": 5,
    }
    return datasets.configuration(datasets.CLASSIFICATION, **{**own, **changes})


def back_to_epoch(run, epochs):
    """As a kill leaves a run: the states after an epoch are not there."""
    for state in Checkpoints(run / "checkpoints").states(LAST):
        if int(state.name.rpartition("-")[2]) > epochs:
            shutil.rmtree(state)


def rates(run):
    return [row["learning_rate"] for row in RunDirectory(run).rows()]


COMPOSED = {
    "epochs": 4,
    "optimizer__accumulate_steps": 2,
    "optimizer__warmup_steps": 2,
    "optimizer__clip_global_norm": 0.5,
    "optimizer__weight_decay": 0.01,
    "optimizer__ema_momentum": 0.5,
}


def test_an_own_optimizer_and_schedule_compose_and_resume(class_data, tmp_path, train_here):
    """With all keys that change a step, like Keras's SGD with momentum.

    12 steps are 6 updates, two of warm-up and four of the schedule: 1/8, 1/4, 1/4, 1/2, 1/2 and 1/4
    of 0.01. The epochs end after 1, 3, 4 and 6 of them, the first within the second update.
    """
    config, run = configuration(tmp_path, **COMPOSED), tmp_path / "run"
    whole = train_here(config, class_data, run)
    assert rates(run) == pytest.approx([0.00125, 0.0025, 0.005, 0.0025])
    back_to_epoch(run, 1)
    again = train_here(config, class_data, run)
    assert any("step 3 of 12" in line for line in again["said"])
    assert again["weights_digest"] == whole["weights_digest"]
    ours = {**COMPOSED, "optimizer__name": "sgd", "optimizer__args": {"momentum": 0.5}}
    expected = train_here(configuration(tmp_path, **ours), class_data, tmp_path / "ours")
    losses = [report["metrics"]["last"]["val_loss"] for report in (whole, expected)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


def test_a_callback_remembers_and_stops(class_data, tmp_path, train_here):
    """It stops when it has seen two epochs; resumed after the first it has seen one of them."""
    config = configuration(tmp_path, epochs=4, callbacks=(f"{tmp_path}/mine/watch.py:Patience",))
    report = train_here(config, class_data, tmp_path / "run")
    assert report["epochs"] == 2
    assert "as Patience of callbacks set model.stop_training" in report["stopped"]
    back_to_epoch(tmp_path / "run", 1)
    report = train_here(config, class_data, tmp_path / "run")
    assert report["epochs"] == 2
    again = train_here(config, class_data, tmp_path / "run")
    assert again["epochs"] == 2
    assert any("without it in --config.callbacks" in line for line in again["said"])
    without = configuration(tmp_path, epochs=4)
    assert train_here(without, class_data, tmp_path / "run")["epochs"] == 4


KERAS = """
import tensorflow as tf


class Counting(tf.keras.callbacks.Callback):
    calls = []

    def on_train_begin(self, logs=None):
        self.count = 0

    def on_epoch_begin(self, epoch, logs=None):
        self.calls.append(("begin", epoch))

    def on_epoch_end(self, epoch, logs=None):
        self.count += 1
        known = "val_loss" in logs, self.model.name, self.params["epochs"]
        self.calls.append(("end", epoch, *known))

    def on_train_end(self, logs=None):
        self.calls.append("over")

    def on_batch_end(self, batch, logs=None):
        self.calls.append(("batch", batch, 0 < logs["loss"] < 9))

    def on_test_end(self, logs=None):
        self.calls.append(("test", "val_loss" in logs))

    def on_predict_begin(self, logs=None):
        0
"""


def test_a_callback_of_keras_gets_its_hooks_and_a_line_for_what_is_lost(
    class_data, tmp_path, train_here
):
    from preprocess.shell.references import load_reference

    mine = own_code.write(tmp_path / "mine", seen=KERAS)
    config = configuration(tmp_path, callbacks=(f"{mine}/seen.py:Counting",))
    report = train_here(config, class_data, tmp_path / "run")
    calls = load_reference(f"{mine}/seen.py:Counting", "key").calls
    batches = [("batch", number, True) for number in range(3)]
    end = [("test", True), ("end", 0, True, "model", 2)]
    assert calls[:6] == [("begin", 0), *batches, *end]
    assert [each[0] for each in calls[6:-1]] == ["begin", *["batch"] * 3, "test", "end"]
    assert calls[-1] == "over"
    assert any("on_predict_begin of Counting will not be called" in s for s in report["said"])
    back_to_epoch(tmp_path / "run", 1)
    said = train_here(config, class_data, tmp_path / "run")["said"]
    assert any("Counting has no state_dict" in line for line in said)


PAIRED = """
class Paired:
    def on_epoch_begin(self, epoch, logs=None):
        self.begun = epoch

    def on_epoch_end(self, epoch, logs=None):
        assert self.begun == epoch
"""


def test_an_epoch_begins_also_where_only_its_validation_was_missing(
    class_data, tmp_path, train_here, monkeypatch
):
    """The state before the first validation of a process has all of the epoch's steps."""
    mine = own_code.write(tmp_path / "mine", paired=PAIRED)
    config = configuration(tmp_path, callbacks=(f"{mine}/paired.py:Paired",))

    def killed(self, between):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Validation, "row", killed)
        with pytest.raises(KeyboardInterrupt):
            train_here(config, class_data, tmp_path / "run")
    said = train_here(config, class_data, tmp_path / "run")["said"]
    assert any(line.startswith("resuming at step 3 of") for line in said)


UNKNOWN_LENGTH = """
def rate(step, total_steps):
    return 0.01 ** (1 / (total_steps - 1)) + 0 * step
"""


def test_a_schedule_is_not_asked_before_the_length_of_the_run_is_known(tmp_path):
    mine = own_code.write(tmp_path / "mine", rates=UNKNOWN_LENGTH)
    section = OptimizerConfig(name="sgd", schedule=f"{mine}/rates.py:rate")
    build_schedule(section, 0)
    assert float(build_schedule(section, 3)(0)) == pytest.approx(0.1)


def test_an_optimizer_that_ignores_a_key_is_refused(class_data, tmp_path):
    text = own_code.OPTIMIZER.replace(", **kwargs):", ", **_):").replace(", **kwargs)", ")")
    mine = own_code.write(tmp_path / "mine", part=text)
    for key, value in (("weight_decay", 0.1), ("ema_momentum", 0.9)):
        config = configuration(
            tmp_path, optimizer__name=f"{mine}/part.py:Heavy", **{f"optimizer__{key}": value}
        )
        with pytest.raises(ConfigError, match=f"ignores optimizer.{key}={value}: take "):
            tried(config, class_data)


OPTIMIZER = """
class F(O.Optimizer):
    def __init__(self, learning_rate=0.1, **kwargs):
        super().__init__(name="F", **kwargs)
        self._learning_rate = self._build_learning_rate(learning_rate)
    def get_config(self):
        return {}
    def update_step(self, gradient, variable):
"""


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("def F(): 0", "is a function, no subclass of"),
        ("class F: 0", "is no subclass of"),
        (f"{OPTIMIZER}        pass", "three steps moved nothing"),
        (f"{OPTIMIZER}        variable.assign(gradient / 0.0)", "NaN or infinite after three"),
        (f"{OPTIMIZER}        gradient.x", "part.py, line 11: AttributeError"),
        (
            f"{OPTIMIZER}        self.seen.assign_add(1.0)\n"
            "        variable.assign_sub(gradient * self.seen)\n"
            "    def build(self, variables):\n"
            "        super().build(variables)\n"
            "        if 'seen' not in self.__dict__:\n"
            "            self.__dict__['seen'] = tf.Variable(0.0)  # which Keras does not track",
            "continues differently from a saved state: keep what it remembers",
        ),
    ],
)
def test_an_optimizer_that_cannot_be_repeated_is_one_line(class_data, tmp_path, text, words):
    mine = own_code.write(tmp_path / "mine", part=START + text)
    config = datasets.configuration(
        datasets.CLASSIFICATION, model__backbone="mlp", optimizer__name=f"{mine}/part.py:F"
    )
    with pytest.raises(ConfigError, match=words) as caught:
        tried(config, class_data)
    assert str(caught.value).startswith(f"optimizer.name={mine}/part.py:F")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("def f(step): 0", "it is called as f.step, total_steps, top"),
        ("def f(step, total_steps, top):\n    return [step, step]", r"returns float32\[2\]"),
        ("def f(step, total_steps, top):\n    return -step", "returns -1.0 at step 1 of 6"),
        (
            "def f(step, total_steps, top):\n    return tf.random.uniform([])",
            "returns another rate",
        ),
        ("def f(step, total_steps, top):\n    return step.x", "part.py, line 4: AttributeError"),
    ],
)
def test_a_schedule_that_is_no_rate_is_one_line(class_data, tmp_path, text, words):
    mine = own_code.write(tmp_path / "mine", part=START + text)
    config = datasets.configuration(
        datasets.CLASSIFICATION,
        model__backbone="mlp",
        optimizer__schedule=f"{mine}/part.py:f",
        optimizer__schedule_args={"top": 1.0},
    )
    with pytest.raises(ConfigError, match=words) as caught:
        tried(config, class_data)
    assert str(caught.value).startswith("optimizer.schedule")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("def F(): 0", "is a function, not a class"),
        ("class F: 0", "has none of on_train_begin, on_epoch_begin"),
        (
            "class F:\n    def __init__(self, x): 0\n    on_epoch_end = print",
            r"it is called as F\(",
        ),
        (
            "class F:\n    on_epoch_end = print\n    load_state_dict = print\n"
            "    def state_dict(self):\n        return {1j}",
            "JSON cannot hold the result of state_dict",
        ),
        (
            "class F:\n    def on_epoch_end(self, epoch):\n        0",
            r"too many positional arguments; it is called as on_epoch_end\(self, epoch, logs\)",
        ),
        ("class F:\n    def on_epoch_end(self, epoch, logs):\n        logs.x", "line 3: Attribute"),
    ],
)
def test_a_callback_that_cannot_be_called_is_one_line(
    class_data, tmp_path, train_here, text, words
):
    mine = own_code.write(tmp_path / "mine", part=text)
    config = datasets.configuration(
        datasets.CLASSIFICATION, model__backbone="mlp", callbacks=(f"{mine}/part.py:F",)
    )
    with pytest.raises(ConfigError, match=words) as caught:
        train_here(config, class_data, tmp_path / "run")
    assert str(caught.value).startswith(f"callbacks={mine}/part.py:F")


FULL = """
def rate(step, total_steps):
    with open("/dev/full", "w") as file:
        file.write("x")
    return 0.01
"""


def test_a_full_disk_under_own_parts_may_pass(tmp_path):
    """Also while their file is imported, from a network folder that has gone stale."""
    mine = own_code.write(tmp_path / "mine", rates=FULL, stale="raise OSError(116, 'Stale')\n")
    with pytest.raises(OutputError, match=r"rates.py, line [34]: OSError: .*No space left"):
        build_schedule(OptimizerConfig(name="sgd", schedule=f"{mine}/rates.py:rate"), 20)
    with pytest.raises(OutputError, match=r"stale.py, line 1: OSError: .*Stale"):
        build_schedule(OptimizerConfig(name="sgd", schedule=f"{mine}/stale.py:rate"), 20)
