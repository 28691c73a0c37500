"""The metrics that a configuration can name, and which columns of metrics.jsonl there are.

Nothing here imports an entry.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from preprocess.dataset_format import parts_of
from preprocess.shell.entries import Entries, constant_in
from preprocess.shell.errors import ConfigError
from preprocess.shell.nearest import did_you_mean
from preprocess.shell.reference_source import source_file
from preprocess.shell.references import is_reference, split_reference
from trainer.config.task_table import TASKS, records_of

MEASURES = Entries("metric", "trainer.measures", defining="GREATER")
TOP = "top_k"
_TOP_OF = re.compile(r"top_([1-9][0-9]{0,3})")


def measures_of(task: str) -> list[str]:
    """The metrics of a task and its parts, as they are written."""
    names = [n for n in MEASURES.names() if _is_for(n, task)]
    return ["top_K" if name == TOP else name for name in names]


def described_measures() -> str:
    """Every metric by task, in one line."""
    by_task = {task: measures_of(task) for task, kind in TASKS.items() if not kind.parts}
    return "; ".join(f"{task}: {', '.join(names)}" for task, names in by_task.items() if names)


def measure_parts(name: str) -> tuple[str, Mapping[str, int]]:
    """The entry of a metric's name, and its settings: top_5 is top_k with k = 5."""
    top = _TOP_OF.fullmatch(name)
    return (TOP, {"k": int(top[1])}) if top else (name, {})


def column_of(name: str) -> str:
    """What a metric is called in a row of metrics.jsonl: the NAME of a user's own."""
    return split_reference(name)[1] if is_reference(name) else name


def check_measure(name: str, task: str) -> None:
    """Raises ConfigError if there is no such metric, or not for this task, or where a user's
    own is called like another figure.
    """
    task = records_of(task)
    if is_reference(name):
        column = column_of(name)
        figures = ("loss", TASKS[task].metric, *TASKS[task].part_figures)
        if column in figures or column in MEASURES.names():
            raise ConfigError(f"metrics: {name} is called like a figure there is; rename it")
        return
    entry, settings = measure_parts(name)
    known = measures_of(task)
    if not _is_for(entry, task) or (entry == TOP) != bool(settings):
        has = f"there are {', '.join(known)}" if known else "there are none"
        raise ConfigError(
            f"metrics: no metric {name[:80]!r} for task={task}{did_you_mean(name, known)}; {has}"
        )


def fits(name: str, task: str) -> bool:
    """Whether a metric is one of ours for a task."""
    return not is_reference(name) and _is_for(measure_parts(name)[0], task)


def _is_for(entry: str, task: str) -> bool:
    if entry not in MEASURES.names():
        return False
    return not {*parts_of(task)}.isdisjoint(MEASURES.constant(entry, "TASKS"))


def greater_is_better(column: str, metrics: Sequence[str] = ()) -> bool:
    """Whether more of a column of metrics.jsonl is better; by its ending, as the names of splits
    stand before the metric.

    Of a user's own among `metrics` the GREATER of its file tells, which is true where it has none.
    """
    endings = {"loss": False}
    endings |= {kind.metric: True for kind in TASKS.values()}
    endings |= {name: bool(MEASURES.constant(name, "GREATER")) for name in MEASURES.names()}
    for reference in filter(is_reference, metrics):
        file = source_file(reference)
        greater = constant_in(file, "GREATER", True) if file else True
        endings[column_of(reference)] = bool(greater)
    if re.search(rf"(^|_){_TOP_OF.pattern}$", column):
        return bool(MEASURES.constant(TOP, "GREATER"))
    fitting = [name for name in endings if column == name or column.endswith(f"_{name}")]
    return endings[max(fitting, key=len)] if fitting else False
