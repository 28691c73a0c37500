"""What is to be said beside a verdict, of the rows of metrics.jsonl: a run that slowed down, a
machine that others use, too few steps to tell.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from trainer.processor import OTHERS, OWN
from trainer.thresholds import OTHERS_TAKE, PROCESSOR_FULL, SLOWED, TRACED_STEPS
from trainer.timing import mean

SPEED = "images_per_second"
Row = Mapping[str, Any]


def remarked(bottleneck: Mapping[str, Any], rows: Sequence[Row]) -> dict[str, Any]:
    """`bottleneck` of report.json, with the remarks after its sentence and before its advice."""
    found = list(remarks(rows))
    return {
        **bottleneck,
        "verdict": " ".join([bottleneck["verdict"], *(sentence for sentence, _ in found)]),
        "advice": [*(advice for _, advice in found if advice), *bottleneck["advice"]],
    }


def remarks(rows: Sequence[Row]) -> Iterator[tuple[str, str]]:
    """(sentence, advice or "") each."""
    if sentence := others_in_words(mean(rows, OWN), mean(rows, OTHERS)):
        yield sentence, "look for what else runs on this machine, and give training its own"
    timed = [row for row in rows if row.get(SPEED)]
    if not timed:
        return
    # A restart may have come back with other devices, which is why it was made.
    alike = [row for row in timed if _replicas(row) == _replicas(timed[-1])]
    best = max(range(len(alike)), key=lambda at: alike[at][SPEED])
    later = [row[SPEED] for row in alike[best + 1 :]]
    if later and max(later) * SLOWED <= alike[best][SPEED]:
        first, last = alike[best], alike[-1]
        yield (
            f"It slowed down: {first[SPEED]:,.0f} images/s in epoch {first['epoch']}, "
            f"{last[SPEED]:,.0f} in epoch {last['epoch']}.",
            f"look for what has changed after epoch {first['epoch']}: another process, a lower "
            "clock, a slower disk, on this worker or another",
        )
    steps = timed[-1]["step"] - 1
    if steps < TRACED_STEPS:
        yield f"Only {steps} step{'s were' if steps > 1 else ' was'} timed: not much is known.", ""


def _replicas(row: Row) -> int:
    return round(row[SPEED] / (row.get(f"{SPEED}_per_replica") or row[SPEED]))


def others_in_words(own: float | None, others: float | None) -> str:
    """A sentence where other processes take much of a processor that has nothing left; else ""."""
    if own is None or others is None or others < OTHERS_TAKE or own + others < PROCESSOR_FULL:
        return ""
    return (
        f"Other processes took {others:.0%} of this machine's processor meanwhile, and nothing of "
        "it was left."
    )
