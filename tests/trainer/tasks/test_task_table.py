"""The table of tasks, and that nothing outside of it and of trainer/tasks tells them apart; the
builder does so by what a record holds.
"""

import ast
from pathlib import Path

import pytest

from preprocess.dataset_format import Target
from preprocess.shell.entries import load
from preprocess.shell.errors import ConfigError
from tests.trainer import datasets
from trainer.config.task_table import TASKS, task_kind
from trainer.data.numpy_batches import StepBatches
from trainer.data.record_targets import RecordTarget
from trainer.tasks.task import Task, make_task

NUMBERS = ("regression", "numbers")


def compared(path: Path) -> set[str]:
    """The names of tasks that a file compares something with."""
    constants = {name.upper(): name for name in TASKS}
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Compare):
            for side in (node.left, *node.comparators):
                if isinstance(side, ast.Constant):
                    names.add(side.value)
                elif isinstance(side, (ast.Name, ast.Attribute)):
                    names.add(constants.get(getattr(side, "id", getattr(side, "attr", "")), ""))
    return names & set(TASKS)


@pytest.mark.parametrize("package", ["trainer", "preprocess"])
def test_no_part_of_the_package_asks_which_task_it_is(package):
    asking = {
        str(path): names
        for path in sorted((datasets.REPOSITORY / package).rglob("*.py"))
        if (names := compared(path))
    }
    assert asking == {}


@pytest.mark.parametrize("name", TASKS)
def test_a_row_leads_to_a_task_with_its_name_and_to_a_reader(name):
    base = datasets.TRIPLET if name == "triplet" else {**datasets.CLASSIFICATION, "task": name}
    task = make_task(
        datasets.configuration(base), ("a", "b"), [Target("a", 0.0, 1.0)] * name.endswith(NUMBERS)
    )
    assert isinstance(task, Task)
    assert task.metric == TASKS[name].metric
    assert load(TASKS[name].records).pictures_a_record == len(task.picture_columns)
    assert issubclass(load(TASKS[name].batches), StepBatches)
    if TASKS[name].batches == "trainer.data.numpy_batches:PictureBatches":
        for part in TASKS[name].parts or (name,):
            assert issubclass(load(TASKS[part].row_target), RecordTarget)


def test_a_task_of_several_parts_is_checked_for_its_numbers_as_regression_is():
    assert {name: kind.checked for name, kind in TASKS.items()} == {
        "triplet": "votes",
        "classification": "classes",
        "multilabel": "classes",
        "regression": "numbers",
        "class_and_numbers": "numbers",
        "labels_and_numbers": "numbers",
    }


def test_an_unknown_task_is_refused_with_the_names_there_are():
    with pytest.raises(ConfigError, match="task='ranking' is unknown, tasks are triplet, class"):
        task_kind("ranking")
