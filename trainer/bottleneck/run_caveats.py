"""Caveats of a verdict by the rows of metrics.jsonl: a run that slowed down, a machine that other
processes use, a GPU that is not well, too few steps to tell.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from trainer.bottleneck.bottleneck import Advice, Bottleneck
from trainer.bottleneck.evidence import Evidence, FewSteps, OtherProcesses, SlowedDown
from trainer.bottleneck.gpu_caveats import gpu_caveats
from trainer.bottleneck.thresholds import OTHERS_TAKE, PROCESSOR_FULL, SLOWED, TRACED_STEPS
from trainer.monitoring.metric_rows import Row, mean
from trainer.monitoring.processor import OTHERS, OWN

SPEED = "images_per_second"


def with_caveats(bottleneck: Bottleneck, rows: Sequence[Row]) -> Bottleneck:
    """The verdict with caveats of its run's epochs, whose advice goes before that of its steps."""
    caveats: list[Evidence] = []
    advice: list[Advice] = []
    timed = [row for row in rows if row.get(SPEED)]
    if others := other_processes(mean(rows, OWN), mean(rows, OTHERS)):
        caveats.append(others)
        advice.append(Advice("other_processes"))
    for fact, remedy in gpu_caveats(rows):
        caveats.append(fact)
        advice.append(remedy)
    if slowed := _slowed_down(timed):
        caveats.append(slowed)
        advice.append(Advice("what_changed", {"epoch": slowed.fast_epoch}))
    if timed and (steps := timed[-1]["step"] - 1) < TRACED_STEPS:
        caveats.append(FewSteps(steps))
    # What holds up the whole run comes before what slows down its steps.
    of_run = 0 if bottleneck.steps is None else 1
    first, rest = bottleneck.advice[:of_run], bottleneck.advice[of_run:]
    return dataclasses.replace(
        bottleneck,
        caveats=(*bottleneck.caveats, *caveats),
        advice=(*first, *advice, *rest),
    )


def other_processes(own: float | None, others: float | None) -> OtherProcesses | None:
    """Whether other processes take much of a processor of which nothing is left."""
    if own is None or others is None or others < OTHERS_TAKE or own + others < PROCESSOR_FULL:
        return None
    return OtherProcesses(others)


def _slowed_down(timed: Sequence[Row]) -> SlowedDown | None:
    if not timed:
        return None
    # A restart may have come back with other devices, which is why it was made.
    alike = [row for row in timed if _replicas(row) == _replicas(timed[-1])]
    best = max(range(len(alike)), key=lambda at: alike[at][SPEED])
    later = [row[SPEED] for row in alike[best + 1 :]]
    if not later or max(later) * SLOWED > alike[best][SPEED]:
        return None
    fast, last = alike[best], alike[-1]
    return SlowedDown(fast["epoch"], fast[SPEED], last["epoch"], last[SPEED])


def _replicas(row: Row) -> int:
    return round(row[SPEED] / (row.get(f"{SPEED}_per_replica") or row[SPEED]))
