"""Figures as a reader wants them: per cent with an interval, times, and the verdict sentence."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from preprocess.shell.json_text import JsonObject
from trainer.monitoring.metric_rows import Row, accuracy_name, number, prefixes
from trainer.report.curves import VALIDATION, split_label

NONE = "–"
# Where something is the wrong way round, by what is better.
_REMEDY = {
    "chance": "look at the votes and the distances",
    "always predicting the mean": "look at the learning rate and the numbers",
}
_SPACE = "\N{NO-BREAK SPACE}"  # between a number and its unit


def percent(value: Any) -> str:
    """0.7123 -> `71.2 %`; a dash if there is no number."""
    share = number(value)
    return NONE if math.isnan(share) else f"{100 * share:.1f}{_SPACE}%"


def figure(value: Any, digits: int = 4) -> str:
    """A number with `digits` significant digits, thousands set apart."""
    amount = number(value)
    if math.isnan(amount):
        return NONE
    if amount == round(amount) or abs(amount) >= 10 ** (digits - 1):
        return f"{amount:,.0f}"
    return f"{amount:.{digits}g}"


def interval(value: Any) -> str:
    """`[0.70, 0.73]` -> `70.0 to 73.0 %`; empty if there is none."""
    bounds = _bounds(value)
    return "" if bounds is None else f"{100 * bounds[0]:.1f} to {100 * bounds[1]:.1f}{_SPACE}%"


def duration(seconds: Any) -> str:
    """Seconds in the two largest units: `3 min 10 s`, `2 h 5 min`."""
    amount = number(seconds)
    if math.isnan(amount):
        return NONE
    if amount < 10:
        return f"{amount:.1f}{_SPACE}s"
    minutes, rest = divmod(round(amount), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}{_SPACE}h {minutes}{_SPACE}min"
    seconds_left = f"{rest}{_SPACE}s"
    return f"{minutes}{_SPACE}min {seconds_left}" if minutes else seconds_left


def verdict(report: JsonObject) -> str:
    """The sentence a report opens with: the figure, its interval, how it stands to chance, or to
    always naming the largest class.
    """
    last = (report.get("metrics") or {}).get("last") or {}
    after = _after(report)
    headline = headline_metric(last)
    if headline is None:
        return f"No accuracy was measured{after}."
    prefix, name = headline
    label = split_label(prefix, first_split(report))
    split = f"the {label} split" if prefix in ("", "val_") else label
    metric = name.replace("_", " ").capitalize()
    said = f"{metric} {percent(last[prefix + name])} on {split}{after}"
    bounds = _bounds(last.get(f"{prefix}{name}_interval"))
    if bounds is None:
        return f"{said}; its interval was not measured."
    said += f"; 95{_SPACE}% interval {interval(bounds)}"
    baseline = report.get("baseline") or {"name": "chance", "accuracy": report.get("chance")}
    level = number(baseline["accuracy"])
    if math.isnan(level):
        return f"{said}."
    chance = f"{baseline['name']} ({percent(level)})"
    if bounds[0] > level:
        return f"{said}, all of it above {chance}."
    if bounds[1] < level:
        remedy = _REMEDY.get(baseline["name"], "train longer, or look at the classes")
        return f"{said}, all of it below {chance}: {remedy}."
    return f"{said}, which includes {chance}: nothing learned can be shown yet."


def first_split(report: JsonObject) -> str:
    """The name of the first validation split, whose mistakes a report shows."""
    return str(report.get("mistakes_split") or VALIDATION)


def _after(report: JsonObject) -> str:
    count, unit, seconds = number(report.get("epochs")), "epoch", number(report.get("seconds"))
    if count == 0 and report.get("steps"):  # stopped within the first
        count, unit = number(report["steps"]), "step"
    if math.isnan(count):
        return ""
    time = "" if math.isnan(seconds) else f" ({duration(seconds)})"
    return f" after {count:,.0f} {unit}{'' if count == 1 else 's'}{time}"


def headline_metric(row: Row) -> tuple[str, str] | None:
    """(prefix, accuracy name) of the first split that has an accuracy, training as the last."""
    name = accuracy_name([row])
    for prefix in [*prefixes([row])[1:], ""]:
        if not math.isnan(number(row.get(prefix + name))):
            return prefix, name
    return None


def _bounds(value: Any) -> tuple[float, float] | None:
    if not isinstance(value, Sequence) or isinstance(value, str) or len(value) != 2:
        return None
    low, high = number(value[0]), number(value[1])
    return None if math.isnan(low) or math.isnan(high) else (low, high)


def what_to_do(bottleneck: JsonObject) -> list[str]:
    """Lines for a terminal: the verdict of report.json's `bottleneck`, and the first advice."""
    return [bottleneck["verdict"], *(f"-> {advice}" for advice in bottleneck["advice"][:1])]
