"""The metrics that a configuration can name, and which columns of metrics.jsonl there are.

Nothing here imports an entry.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from preprocess.shell.entries import Entries
from preprocess.shell.errors import ConfigError
from preprocess.shell.nearest import did_you_mean
from trainer.config.task_table import TASKS

MEASURES = Entries("metric", "trainer.measures", defining="GREATER")
TOP = "top_k"
_TOP_OF = re.compile(r"top_([1-9][0-9]{0,3})")


def measures_of(task: str) -> list[str]:
    """The metrics of a task, as they are written."""
    names = [n for n in MEASURES.names() if task in MEASURES.constant(n, "TASKS")]
    return ["top_K" if name == TOP else name for name in names]


def described_measures() -> str:
    """Every metric by task, in one line."""
    by_task = {task: measures_of(task) for task in TASKS}
    return "; ".join(f"{task}: {', '.join(names)}" for task, names in by_task.items() if names)


def measure_parts(name: str) -> tuple[str, Mapping[str, int]]:
    """The entry of a metric's name, and its settings: top_5 is top_k with k = 5."""
    top = _TOP_OF.fullmatch(name)
    return (TOP, {"k": int(top[1])}) if top else (name, {})


def check_measure(name: str, task: str) -> None:
    """Raises ConfigError if there is no such metric, or not for this task."""
    entry, settings = measure_parts(name)
    known = measures_of(task)
    there = entry in MEASURES.names() and task in MEASURES.constant(entry, "TASKS")
    if not there or (entry == TOP) != bool(settings):
        has = f"there are {', '.join(known)}" if known else "there are none"
        raise ConfigError(
            f"metrics: no metric {name[:80]!r} for task={task}{did_you_mean(name, known)}; {has}"
        )


def greater_is_better(column: str) -> bool:
    """Whether more of a column of metrics.jsonl is better; by its ending, as the names of splits
    stand before the metric.
    """
    endings = {"loss": False}
    endings |= {kind.metric: True for kind in TASKS.values()}
    endings |= {name: bool(MEASURES.constant(name, "GREATER")) for name in MEASURES.names()}
    if re.search(rf"(^|_){_TOP_OF.pattern}$", column):
        return bool(MEASURES.constant(TOP, "GREATER"))
    fitting = [name for name in endings if column == name or column.endswith(f"_{name}")]
    return endings[max(fitting, key=len)] if fitting else False
