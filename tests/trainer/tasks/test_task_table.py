"""The table of tasks, and that nothing outside of it and of trainer/tasks tells them apart."""

import ast
from pathlib import Path

import pytest

from preprocess.dataset_format import Target
from preprocess.shell.entries import load
from preprocess.shell.errors import ConfigError
from tests.trainer import datasets
from trainer.config.task_table import TASKS, task_kind
from trainer.tasks.task import Task, make_task

TRAINER = datasets.REPOSITORY / "trainer"


def compared(path: Path) -> set[str]:
    """The names of tasks that a file compares something with."""
    constants = {name.upper(): name for name in TASKS}
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Compare):
            for side in (node.left, *node.comparators):
                if isinstance(side, ast.Constant):
                    names.add(side.value)
                elif isinstance(side, ast.Name):
                    names.add(constants.get(side.id, ""))
    return names & set(TASKS)


def test_no_part_of_the_trainer_asks_which_task_it_is():
    asking = {
        str(path.relative_to(TRAINER)): names
        for path in sorted(TRAINER.rglob("*.py"))
        if (names := compared(path))
    }
    assert asking == {}


@pytest.mark.parametrize("name", TASKS)
def test_a_row_leads_to_a_task_with_its_name_and_to_a_reader(name):
    base = datasets.TRIPLET if name == "triplet" else {**datasets.CLASSIFICATION, "task": name}
    task = make_task(
        datasets.configuration(base), ("a", "b"), [Target("a", 0.0, 1.0)] * (name == "regression")
    )
    assert isinstance(task, Task)
    assert task.metric == TASKS[name].metric
    assert load(TASKS[name].records).pictures_a_record == len(task.picture_columns)


def test_an_unknown_task_is_refused_with_the_names_there_are():
    with pytest.raises(ConfigError, match="task='ranking' is unknown, tasks are triplet, class"):
        task_kind("ranking")
