"""Runs cases of a target and looks at what they cost."""

from __future__ import annotations

import dataclasses
import faulthandler
import resource
import time
import warnings
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings

from tests.fuzz.targets import TARGETS, Target

CPU_SECONDS = 10.0  # of one case
WALL_SECONDS = (
    120.0  # of one case that may wait for a busy machine; one that waits for ever ends here
)
PEAK_BYTES = 1_500_000_000
ROUND = 300  # cases of one seed


@dataclasses.dataclass
class Cost:
    """What the cases of a target took: how many, the longest (seconds of processor), the peak."""

    cases: int = 0
    longest: float = 0.0
    peak: int = 0  # bytes of this process

    def __str__(self) -> str:
        peak = f"{self.peak / 1e9:.2f} GB"
        return f"{self.cases} cases, the longest {self.longest:.1f} s, peak {peak}"


def check(target: Target, case: Any, note: Path | None = None) -> tuple[float, int]:
    """Reads a case; returns its seconds of processor time and the peak of this process in bytes.

    Raises AssertionError, or what was raised, where that is a fault.
    """
    if note:
        note.write_text(repr(case), encoding="utf-8", errors="backslashreplace")
        faulthandler.dump_traceback_later(WALL_SECONDS, exit=True)
    before, refusal = time.process_time(), "none"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            target.read(case)
    except target.refusals as error:
        refusal = str(error)
    finally:
        if note:
            faulthandler.cancel_dump_traceback_later()
    assert refusal.strip(), "a refusal without a word"
    seconds = time.process_time() - before
    assert seconds < CPU_SECONDS, f"{seconds:.0f} s of processor time"
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    assert not note or peak < PEAK_BYTES, f"{peak / 1e9:.1f} GB of memory"
    return seconds, peak


def run_for(name: str, folder: Path, seconds: float, first_seed: int) -> Cost:
    """Cases of one target for so long; a fault ends it with its traceback."""
    target, cost = TARGETS[name](folder), Cost()
    end, number = time.monotonic() + seconds, first_seed

    def one(case: Any) -> None:
        cost.cases += 1
        seconds, cost.peak = check(target, case, folder / "case.txt")
        cost.longest = max(cost.longest, seconds)

    how = settings(
        max_examples=ROUND,
        database=None,
        deadline=None,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
        print_blob=False,
    )
    while time.monotonic() < end:
        seed(number)(how(given(target.cases)(one)))()
        number += 1
    return cost
