"""The metrics by name of a run, as a section of its page."""

from __future__ import annotations

from collections.abc import Sequence

from preprocess.shell.json_text import JsonObject
from trainer.monitoring.metric_rows import prefixes
from trainer.report.curves import split_label
from trainer.report.figures import figure
from trainer.report.page import Section


def further_section(
    names: Sequence[str], last: JsonObject, best: JsonObject, first: str
) -> Section:
    """A row a split and metric, of the last state and of the best.

    Args:
      names: of the metrics; there is at least one.
      last: a row of metrics.jsonl, {} if there is none.
      best: likewise.
      first: the name of the first validation split.
    """
    rows = [
        (
            f"{split_label(prefix, first)}: {name.replace('_', ' ')}",
            figure(last.get(prefix + name)),
            figure(best.get(prefix + name)),
        )
        for prefix in prefixes([last])[1:]
        for name in names
    ]
    text = ", ".join(
        f"{name.replace('_', ' ')} {figure(last.get(f'val_{name}'))}" for name in names
    )
    return Section(
        "Further figures",
        lines=(f"Of the {split_label('val_', first)} split, last state: {text}.",),
        header=("figure", "last state", "best state"),
        rows=rows,
    )
