"""Tasks of several parts, such as a class and numbers: what each part takes of a configuration.

A part learns by a configuration of its own task, so that it needs to know of no other.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from preprocess.shell.nearest import did_you_mean
from trainer.config.entries import check_loss
from trainer.config.key_field import Value
from trainer.config.keys import Config, with_values
from trainer.config.measure_table import fits
from trainer.config.task_table import TASKS, TaskKind, task_kind

NAMES, WEIGHTS = "loss.names", "loss.weights"
MOST_WEIGHT = 1e6


def part_tasks(kind: TaskKind) -> dict[str, str]:
    """The task of each part by the part's name; {} for a task that is not made of parts."""
    return {TASKS[task].part: task for task in kind.parts}


def part_configs(config: Config) -> dict[str, Config]:
    """The configuration of each part by its name: its own loss and metrics, all else shared."""
    found = {}
    for name, task in part_tasks(task_kind(config.task)).items():
        changes: dict[str, Value] = {
            "task": task,
            "loss.name": str(config.loss.names.get(name, "")),
            NAMES: {},
            WEIGHTS: {},
            "metrics": tuple(metric for metric in config.metrics if fits(metric, task)),
        }
        if not TASKS[task].class_weights:
            changes["loss.class_weights"] = {}
        found[name] = with_values(config, changes)
    return found


def part_weights(config: Config) -> dict[str, float]:
    """What the loss of each part counts in the sum, by the part's name: 1 where nothing is set."""
    names = part_tasks(task_kind(config.task))
    return {name: float(str(config.loss.weights.get(name, 1.0))) for name in names}


def part_problems(config: Config) -> Iterator[str]:
    """What is wrong with the keys of parts.

    Raises:
      ConfigError: a part's loss does not exist, or is for another task.
    """
    loss = config.loss
    if config.task not in TASKS and not (loss.name or loss.names or loss.weights):
        return  # whether the user's own may be looked at is found out later
    parts = part_tasks(task_kind(config.task))
    keys: dict[str, Mapping[str, object]] = {NAMES: loss.names, WEIGHTS: loss.weights}
    for key, given in keys.items():
        if given and not parts:
            yield f"{key} {dict(given)}: task {config.task} has a single loss; leave it out"
            return
        for name in given:
            if name not in parts:
                yield (
                    f"{key}.{name[:80]}: task {config.task} has no such part"
                    f"{did_you_mean(name, list(parts))}; its parts are {', '.join(parts)}"
                )
    if not parts:
        return
    if loss.name:
        others = " or ".join(f"{NAMES}.{name}" for name in parts)
        yield f"loss.name {loss.name} with task {config.task}: each part has its own, set {others}"
    for name, value in loss.names.items():
        if not isinstance(value, str):
            yield f"{NAMES}.{name}: received {value!r}, takes the name of a loss"
        elif value:
            check_loss(value, parts[name], f"{NAMES}.{name}")
    for name, value in loss.weights.items():
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not (number and 0 <= float(str(value)) <= MOST_WEIGHT):
            yield f"{WEIGHTS}.{name}: received {value!r}, takes a number of 0 to {MOST_WEIGHT:g}"
    if not any(part_weights(config).values()):
        yield f"{WEIGHTS}: all are 0, so nothing is learned; set one above 0"
    for split in config.data.validation_splits:
        if split in parts:
            yield (
                f"data.validation_splits {split}: val_{split}_loss is the loss of the part of "
                "this name; rename the split"
            )
