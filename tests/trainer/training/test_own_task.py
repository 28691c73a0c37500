"""A user's own task: on the records of an existing one, and refused if a part of it is wrong."""

import dataclasses
import shutil

import pytest

from preprocess.shell.errors import ConfigError, UsageError
from tests.trainer import datasets, own_code
from tests.trainer.training.test_own_network import tried
from trainer.config.task_table import records_of, task_kind
from trainer.inference.trained_run import open_run

START = """
import numpy as np
import tensorflow as tf
from trainer.tasks.classes import Classes
from trainer.tasks.task import Task
RECORDS = "classification"
class F(Classes):
"""


def configuration(tmp_path, text, name="F", **changes):
    mine = own_code.write(tmp_path / "mine", part=text)
    own = {"task": f"{mine}/part.py:{name}", "model__backbone": "mlp", "epochs": 1}
    return datasets.configuration(datasets.CLASSIFICATION, **{**own, **changes})


def test_an_own_task_trains_and_its_run_is_opened(class_data, tmp_path, train_here):
    """Of two classes, each is beside the other: all is right."""
    config = configuration(tmp_path, own_code.TASK, "Near", loss__name="focal", metrics=("f1",))
    report = train_here(config, class_data, tmp_path / "run", model=True)
    assert report["metrics"]["last"]["val_accuracy"] == 1.0
    run = open_run(str(tmp_path / "run"), "last", lambda _: None, [config.task])
    assert type(run.session.task).__name__ == "Near"


def test_a_run_whose_task_is_in_another_folder_is_opened_and_resumed(
    class_data, tmp_path, train_here
):
    """As one trained in pods, whose files were at /own; its best state is named by the task."""
    config = configuration(tmp_path, own_code.TASK, "Near", metrics=("f1",))
    train_here(config, class_data, tmp_path / "run")
    shutil.move(tmp_path / "mine", tmp_path / "here")
    here, said = f"{tmp_path}/here/part.py:Near", []
    with pytest.raises(UsageError, match="not on this machine"):
        open_run(str(tmp_path / "run"), "last", said.append)
    run = open_run(str(tmp_path / "run"), "last", said.append, [here])
    assert type(run.session.task).__name__ == "Near"
    assert said == [f"'{tmp_path}/run': task: {here} for {config.task}"]
    now = dataclasses.replace(config, task=here, epochs=2)
    assert train_here(now, class_data, tmp_path / "run")["epochs"] == 2
    shutil.move(tmp_path / "here", tmp_path / "there")
    (tmp_path / "there" / "part.py").write_text(f"{own_code.TASK}\n# changed since")
    open_run(str(tmp_path / "run"), "last", said.append, [f"{tmp_path}/there/part.py:Near"])
    assert said[-1].endswith(f"for {here}, which differs")


def test_records_are_those_that_the_file_says(tmp_path):
    """Its text is read; it is not run."""
    file = own_code.write(tmp_path, part="RECORDS = 'triplet'\n1 / 0\n") / "part.py"
    assert records_of(f"{file}:F") == "triplet"
    assert task_kind(f"{file}:F") is task_kind("triplet")
    with pytest.raises(ConfigError, match=r"none\.py:F: no such file"):
        records_of(f"{tmp_path}/none.py:F")
    for text in ("", "RECORDS = 'ranking'", "RECORDS = ['triplet']", "RECORDS = f()", "("):
        file.write_text(text)
        with pytest.raises(ConfigError, match="in a line such as RECORDS = 'classification'"):
            records_of(f"{file}:F")


def test_another_dataset_is_refused(triplet_data, tmp_path, train_here):
    with pytest.raises(ConfigError, match=r"part.py:F, but \S+ is for task=triplet"):
        train_here(configuration(tmp_path, START + "    pass"), triplet_data, tmp_path / "run")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (START.replace("F(Classes)", "F(Task)") + "    pass", "abstract"),
        (START.replace("F(Classes)", "F") + "    pass", "is no subclass of"),
        (START + "    def head(self, features):\n        return features.x", "line 9: Attri"),
        (
            START + "    def hits(self, outputs, batch):\n        return outputs, outputs",
            r"hits.. returns \[8, 2\] for right; it must return two tensors of \[8\]",
        ),
        (START + "    def figures(self, outputs):\n        return {'loss': 0.0}", "lacks accuracy"),
        (START + "    def figures(self, outputs):\n        return 1 / 0", "line 9: ZeroDivision"),
        (START + "    def wrong(self, outputs):\n        return True", "wrong.. returns bool"),
        (
            START + "    def prediction_columns(self):\n        return ['one', 'two']",
            "prediction_columns.. names 2 columns",
        ),
        (
            START + "    def loss(self, outputs, batch):\n"
            "        return tf.stop_gradient(super().loss(outputs, batch))",
            "no gradient reaches",
        ),
        (
            START + "    def loss(self, outputs, batch):\n"
            "        if tf.reduce_sum(outputs) > 1e9:\n            outputs = 0 * outputs\n"
            "        return tf.stop_gradient(super().loss(outputs, batch))",
            "no gradient reaches",  # and AutoGraph has rewritten the condition
        ),
    ],
)
def test_a_task_with_a_wrong_part_is_one_line(class_data, tmp_path, text, words):
    config = configuration(tmp_path, text)
    with pytest.raises(ConfigError, match=words) as caught:
        tried(config, class_data)
    assert str(caught.value).startswith(f"task={config.task}")
