"""What an empty `checkpoint.best_metric` stands for."""

from __future__ import annotations

from preprocess.shell.json_text import JsonObject
from trainer.config.key_field import Value
from trainer.config.keys import Config, with_values
from trainer.config.task_table import task_kind

KEY = "checkpoint.best_metric"


def with_best_metric(config: Config, before: JsonObject | None) -> Config:
    """A copy whose `checkpoint.best_metric` is named, where the task has one of its own.

    It stays empty, which is the loss (of the first validation split, if there is one), for other
    tasks and where nothing is validated; and for a run that resumes and was started so: its best
    value is a loss.

    Args:
      config: of the run.
      before: the stored configuration that the run resumes with; None = a new run.
    """
    if config.checkpoint.best_metric or not config.data.validation_splits:
        return config
    if before is not None and not before.get("checkpoint", {}).get("best_metric"):
        return config
    best_by = task_kind(config.task).best_by
    return with_values(config, {KEY: f"val_{best_by}"}) if best_by else config


def without_validation(values: dict[str, Value], named: bool) -> dict[str, Value]:
    """Values of a stored configuration that another run begins with: without the name of a figure
    of validation where that run has none, unless the user has named it.
    """
    best, splits = values.get(KEY, ""), values.get("data.validation_splits")
    if named or splits != () or not str(best).startswith("val_"):
        return values
    return {**values, KEY: ""}
