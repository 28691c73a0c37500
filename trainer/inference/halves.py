"""Held-out halves of a split: choose on one half, report on the other.

The best of several runs, thresholds or settings is biased upward on the records it was chosen by.
Measured on the other half of a split it is not.

    hash    by a bit of the sha256 of a record's id: a picture stays in its half in every dataset
            that holds it, whatever else is there; the halves differ by chance only
    order   the first and the second half of the records in the order of their ids, numbers by
            their value: shows a split whose parts come from different sources
"""

from __future__ import annotations

import dataclasses
import hashlib
import math
import re
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from preprocess.shell.errors import DataError
from preprocess.shell.json_text import JsonObject
from trainer.report.correlation import rank_correlation
from trainer.tasks.outputs import Outputs
from trainer.tasks.task import Task
from trainer.training.evaluation import figures

HASH, ORDER = "hash", "order"
_LINE = "line"  # of a table: it moves when the table is edited, so it is no part of what is hashed


def in_first_half(
    columns: Sequence[str], ids: Sequence[tuple[str, ...]], how: str
) -> NDArray[np.bool_]:
    """bool[N]: which records are in half a; the others are in half b.

    Args:
      columns: what an id consists of, as Reader.id_columns.
      ids: of each record, as Reader.ids().
      how: HASH or ORDER.

    Raises:
      DataError: one of the halves is empty.
    """
    if how == ORDER:
        chosen = np.zeros(len(ids), np.bool_)
        order = sorted(range(len(ids)), key=lambda record: _natural(ids[record]))
        chosen[order[: (len(ids) + 1) // 2]] = True
    else:
        named = [at for at, column in enumerate(columns) if column != _LINE]
        chosen = np.array([_bit([each[at] for at in named]) for each in ids], np.bool_)
    if chosen.all() or not chosen.any():
        raise DataError(f"--halves: the split has {len(ids)} records, and one half has none")
    return chosen


def compare_halves(
    task: Task, outputs: Outputs, runs: Mapping[str, Outputs], first: NDArray[np.bool_], how: str
) -> JsonObject:
    """The figures of both halves, their difference, and what choosing among the runs by one half
    is worth on the other, as plain data.

    Args:
      task: of the runs.
      outputs: what is measured: those of the run, or the average of all.
      runs: those of each run by its name; with several, the best of half a is measured on b.
      first: as in_first_half() gives it, of all records of the split.
      how: HASH or ORDER.
    """
    metric = task.metric
    a, b = (figures(task, part) for part in _parts(outputs, first))
    found: JsonObject = {
        "by": how,
        "metric": metric,
        "a": a,
        "b": b,
        **_difference(a, b, metric),
        "runs": [],
        "rank_correlation": None,
        "chosen": None,
    }
    if len(runs) < 2:
        return found
    each = {
        name: [figures(task, part) for part in _parts(values, first)]
        for name, values in runs.items()
    }
    found["runs"] = [
        {"run": name, "a": one[metric], "b": other[metric]} for name, (one, other) in each.items()
    ]
    if all(half[metric] is not None for halves in each.values() for half in halves):
        ones, others = ([halves[at][metric] for halves in each.values()] for at in (0, 1))
        found["rank_correlation"] = rank_correlation(ones, others)
        # Of equal ones the first: more is better of every task's metric.
        name = max(each, key=lambda name: each[name][0][metric])
        one, other = each[name]
        found["chosen"] = {
            "run": name,
            "a": one[metric],
            "b": other[metric],
            "b_interval": other["interval"],
            "b_mean_of_all": float(np.mean(others)),
        }
    return found


def halves_in_words(found: JsonObject) -> list[str]:
    """Lines for a terminal."""
    metric, a, b = found["metric"], found["a"], found["b"]
    if a[metric] is None or b[metric] is None:
        return [f"halves by {found['by']}: no record of one half counts for {metric}"]
    lines = [
        f"halves by {found['by']}: {metric} a {_figure(a, metric)}, b {_figure(b, metric)}, "
        f"difference {found['difference']:+.4f}{_bounds(found['difference_interval'])}"
        + (", which may be chance" if _holds_zero(found["difference_interval"]) else "")
    ]
    chosen = found["chosen"]
    if chosen is None:
        return lines
    width = max(len(row["run"]) for row in found["runs"])
    lines += [
        f"  {row['run']:<{width}}  a {row['a']:.4f}  b {row['b']:.4f}" for row in found["runs"]
    ]
    known = found["rank_correlation"]
    lines.append(
        "the ranking by half a does not tell that by half b: fewer than 3 runs, or all equal"
        if known is None
        else f"rank correlation of the runs on the two halves: {known:.3f}"
    )
    lines.append(
        f"best on half a: {chosen['run']}, {chosen['a']:.4f}; on half b, which did not choose it, "
        f"{chosen['b']:.4f}{_bounds(chosen['b_interval'])}, all runs on average "
        f"{chosen['b_mean_of_all']:.4f}"
    )
    return lines


def _parts(outputs: Outputs, first: NDArray[np.bool_]) -> tuple[Outputs, Outputs]:
    mine = first[outputs.records]
    one, other = (
        dataclasses.replace(
            outputs,
            values=outputs.values[rows],
            targets=outputs.targets[rows],
            records=outputs.records[rows],
        )
        for rows in (mine, ~mine)
    )
    return one, other


def _difference(a: JsonObject, b: JsonObject, metric: str) -> JsonObject:
    """Half b less half a, with its 95 % interval from those of both (Newcombe, "Interval estimation
    for the difference between independent proportions", 1998, method 10).
    """
    if a[metric] is None or b[metric] is None:
        return {"difference": None, "difference_interval": None}
    difference, interval = b[metric] - a[metric], None
    if a["interval"] and b["interval"]:
        (low_a, high_a), (low_b, high_b) = a["interval"], b["interval"]
        below = math.hypot(b[metric] - low_b, high_a - a[metric])
        above = math.hypot(high_b - b[metric], a[metric] - low_a)
        interval = [difference - below, difference + above]
    return {"difference": difference, "difference_interval": interval}


def _bit(names: Sequence[str]) -> bool:
    """The lowest bit of the first byte of the sha256 of the names, a line each."""
    text = "\n".join(names).encode("utf-8", "surrogatepass")
    return hashlib.sha256(text).digest()[0] % 2 == 0


def _natural(id_: tuple[str, ...]) -> list[list[tuple[bool, int, str]]]:
    """Sort key: digits count as numbers, before text."""
    return [
        [(not part.isdecimal(), int(part) if part.isdecimal() else 0, part) for part in parts]
        for parts in (re.split(r"(\d+)", name) for name in id_)
    ]


def _figure(half: JsonObject, metric: str) -> str:
    return f"{half[metric]:.4f}{_bounds(half['interval'])} of {half['counted']}"


def _bounds(interval: Sequence[float] | None) -> str:
    return f" [{interval[0]:.4f}, {interval[1]:.4f}]" if interval else ""


def _holds_zero(interval: Sequence[float] | None) -> bool:
    return bool(interval and interval[0] <= 0 <= interval[1])
