"""Speed as the loop itself sees it, and the verdict that follows from it alone."""

from __future__ import annotations

import dataclasses
from typing import Any

from trainer.thresholds import INPUT_HIGH, INPUT_MODERATE


@dataclasses.dataclass
class StepClock:
    """Adds up step times, the first call of a process apart: it traces and compiles."""

    steps: int = 0
    seconds: float = 0.0
    waiting: float = 0.0  # of seconds, for the next batch
    measures_waiting: bool = True  # False where several steps run in one call
    warm: bool = False

    def add(self, steps: int, seconds: float, waiting: float) -> None:
        """Notes one call that ran `steps` steps."""
        if self.warm:
            self.steps += steps
            self.seconds += seconds
            self.waiting += waiting
        self.warm = True

    def restart(self) -> None:
        """Starts a new epoch's figures."""
        self.steps, self.seconds, self.waiting = 0, 0.0, 0.0

    def figures(self, pictures_a_step: int) -> dict[str, float | None]:
        """images_per_second, step_ms and input_wait_fraction; None where nothing was timed."""
        if not self.steps or not self.seconds:
            return {"images_per_second": None, "step_ms": None, "input_wait_fraction": None}
        return {
            "images_per_second": self.steps * pictures_a_step / self.seconds,
            "step_ms": 1000 * self.seconds / self.steps,
            "input_wait_fraction": (self.waiting / self.seconds if self.measures_waiting else None),
        }


def verdict(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """`bottleneck` of report.json from the loop's own wait fraction.

    The loop knows how long it waited, not for which stage: `stage`, `input_tax` and `shares`
    are None.
    """
    waits = [
        row["input_wait_fraction"] for row in rows if row.get("input_wait_fraction") is not None
    ]
    # The first epoch fills caches; it counts only where there is no other.
    waits = waits[1:] or waits
    advice: list[str] = []
    if not waits:
        sentence = "The input wait was not measured: several steps ran in one call."
    else:
        wait = sum(waits) / len(waits)
        sentence = f"{wait:.1%} of step time was spent waiting for input"
        if wait >= INPUT_HIGH:
            sentence = f"Input-bound: {sentence}."
            advice = [
                "build the dataset with --image_size, so that less is decoded",
                "keep the dataset on a local disk",
            ]
        elif wait >= INPUT_MODERATE:
            sentence = f"Slightly input-bound: {sentence}."
        else:
            sentence = f"Compute-bound: {sentence}; the step itself is the limit."
    return {
        "stage": None,
        "verdict": sentence,
        "source": "loop",
        "input_tax": None,
        "shares": None,
        "advice": advice,
    }
