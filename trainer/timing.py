"""Speed as the loop itself sees it, and the verdict that follows from it alone."""

from __future__ import annotations

import time
from array import array
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from trainer.stages import OVERHEAD
from trainer.thresholds import (
    CATCH_UP,
    HOST_HIGH,
    INPUT_HIGH,
    INPUT_MODERATE,
    WORKER_WAITS_MORE,
)

# What the time of a call goes to: waiting for its batch; the call itself and, from time to time,
# waiting for what the device still had to do; Python in between.
WAIT, STEP, HOST = "wait", "step", "host"
PERCENTILES = (50, 90, 99)
# What a row of metrics.jsonl says of speed.
MEANS = (
    "images_per_second",
    "images_per_second_per_replica",
    "step_ms",
    "input_wait_fraction",
    "host_fraction",
)
SPREAD = tuple(f"step_ms_p{at}" for at in PERCENTILES)
FIGURES = (*MEANS, *SPREAD)

_DIAGNOSE = (
    "`python -m trainer diagnose` with this run's --config and --data{where} measures what each "
    "stage costs, and what a change would bring"
)
_EVERY_WORKER = ", on every worker or with --local_workers={},"

# What verdicts begin with, and what one says that could not be reached.
INPUT_BOUND, SLIGHTLY, COMPUTE_BOUND = "Input-bound", "Slightly input-bound", "Compute-bound"
STEP_ALONE = "; the step itself is the limit."
ONE_WORKER = f"{INPUT_BOUND} on one worker"
NOT_MEASURED = "not measured"

# The fraction of a step that each worker waits for its input, by rank; where there are several.
WORKER_WAITS = "worker_input_wait_fractions"


class StepClock:
    """Laps through the training loop, the first call of a process apart: it traces and compiles.

    A device works on after a call has returned, so that single calls are shorter than their steps
    and the one that looks at the loss is longer; over an epoch it adds up. What the host waits
    meanwhile holds nothing up: from time to time it lets the device catch up, and caught_up()
    takes that out again.

    Args:
      measures_waiting: False where several steps run in one call.
    """

    def __init__(self, measures_waiting: bool = True) -> None:
        self._measures_waiting = measures_waiting
        self._warm = False
        self._since = 0.0
        self._laps = {WAIT: 0.0, STEP: 0.0, HOST: 0.0}  # of the call under way
        self.restart()

    def restart(self) -> None:
        """Starts a new epoch's figures."""
        self._steps = 0
        self._seconds = dict.fromkeys(self._laps, 0.0)
        self._step_seconds = array("d")  # one number a call, and they last
        self._open_window()

    def start(self) -> None:
        """Time counts from now on: what was before, such as saving, is nobody's."""
        self._since = time.perf_counter()
        self._open_window()

    def lap(self, part: str) -> None:
        """What passed since the last lap was WAIT, STEP or HOST."""
        now = time.perf_counter()
        self._laps[part] += now - self._since
        self._window[part] += now - self._since
        self._since = now
        if part == WAIT:
            self._called.append(now)

    def caught_up(self) -> None:
        """A lap of STEP in which the device has caught up: ends the window since the last one.

        The host's waits and Python in a window count only as far as the device was idle: what of
        them it spent on steps that were called before is STEP. With N calls in a window of W
        seconds, the call j = 1..N made t_j after its beginning, and steps of D each, the device
        ends at W = max over j of t_j + (N - j + 1) D. So D = min over j of (W - t_j) / (N - j + 1),
        and it was idle for W - N D.
        """
        before = self._since
        self.lap(STEP)
        passed = self._since - self._opened
        others = self._window[WAIT] + self._window[HOST]
        if self._called and others and self._since - before >= CATCH_UP * passed:
            left = range(len(self._called), 0, -1)
            step = min((self._since - at) / n for at, n in zip(self._called, left, strict=True))
            idle = max(0.0, passed - len(self._called) * step)
            hidden = max(0.0, 1 - idle / others)
            for part in (WAIT, HOST):
                # Of the calls before as well: over an epoch it adds up.
                self._laps[part] -= hidden * self._window[part]
                self._laps[STEP] += hidden * self._window[part]
        self._open_window()

    def _open_window(self) -> None:
        self._opened = self._since
        self._window = dict.fromkeys(self._laps, 0.0)
        self._called: list[float] = []  # when, each call of the window

    def end(self, steps: int) -> float:
        """Ends a call of so many steps; returns its seconds. The next one begins here."""
        self.lap(HOST)
        seconds = sum(self._laps.values())
        if self._warm:
            self._steps += steps
            self._step_seconds.append(seconds / steps)
            for part, spent in self._laps.items():
                self._seconds[part] += spent
        else:
            self._open_window()
        self._warm = True
        self._laps = dict.fromkeys(self._laps, 0.0)
        return seconds

    def means(self, pictures_a_step: int, replicas: int) -> dict[str, float | None]:
        """FIGURES but the percentiles, at a cost that does not grow with the epoch.

        None where nothing was timed. The fractions are of a step's time: waiting for its batch,
        and Python between the calls.
        """
        total = sum(self._seconds.values())
        if not self._steps or not total:
            return dict.fromkeys(MEANS)
        speed = self._steps * pictures_a_step / total
        # An epoch may end before the waits do that a window has taken out.
        wait, host = (max(0.0, self._seconds[part]) / total for part in (WAIT, HOST))
        found = [
            speed,
            speed / replicas,
            1000 * total / self._steps,
            wait if self._measures_waiting else None,
            host,
        ]
        return dict(zip(MEANS, found, strict=True))

    def figures(self, pictures_a_step: int, replicas: int) -> dict[str, float | None]:
        """FIGURES of an epoch: means(), and percentiles of calls, over their steps."""
        found: list[float | None] = [None] * len(PERCENTILES)
        if self._step_seconds:
            found = (1000 * np.percentile(self._step_seconds, PERCENTILES)).tolist()
        return self.means(pictures_a_step, replicas) | dict(zip(SPREAD, found, strict=True))


def verdict(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """`bottleneck` of report.json from the loop's own laps.

    The loop knows how long it waited, not for which stage: `stage` is None unless it is the loop
    itself; `input_tax` and `shares` are None.
    """
    wait, host = mean(rows, "input_wait_fraction"), mean(rows, "host_fraction")
    stage: str | None = None
    workers = max((len(row.get(WORKER_WAITS) or ()) for row in rows), default=0)
    advice = [_DIAGNOSE.format(where=_EVERY_WORKER.format(workers) if workers else "")]
    if wait is None and host is None:
        sentence = f"The time of a step was {NOT_MEASURED}: no call came after the first, cold one."
    elif wait is None:
        sentence = f"The input wait was {NOT_MEASURED}: several steps ran in one call."
    else:
        sentence = f"{wait:.1%} of step time was spent waiting for input"
        if wait >= INPUT_HIGH:
            sentence = f"{INPUT_BOUND}: {sentence}."
        elif wait >= INPUT_MODERATE:
            sentence = f"{SLIGHTLY}: {sentence}."
        else:
            sentence = f"{COMPUTE_BOUND}: {sentence}{STEP_ALONE}"
    if host is not None and host >= HOST_HIGH and host > (wait or 0):
        stage = OVERHEAD
        sentence = f"Overhead-bound: {host:.1%} of step time was spent in Python between the steps."
        advice = ["set steps_per_execution=10, so that Python has its turn once in ten steps"]
    slow = _slow_input(rows)
    if slow is not None:
        worker, own, others = slow
        stage = None
        sentence = (
            f"{ONE_WORKER}: worker {worker} waits {own:.0%} of its time for input, "
            f"the others at most {others:.0%}: all wait for it."
        )
        advice = [
            f"compare worker {worker}'s storage, processors and memory with the others'",
            "`python -m trainer diagnose` on every worker names the stage that takes long on "
            f"worker {worker}",
        ]
    return {
        "stage": stage,
        "verdict": sentence,
        "source": "loop",
        "input_tax": None,
        "shares": None,
        "advice": advice,
    }


def _slow_input(rows: list[dict[str, Any]]) -> tuple[int, float, float] | None:
    """The worker whose input all wait for: its rank, its wait and the longest of the others'."""
    epochs = [row[WORKER_WAITS] for row in rows if row.get(WORKER_WAITS)]
    epochs = [waits for waits in epochs[1:] or epochs if None not in waits]
    # A restart may have come back with another number of workers: the last one's counts.
    epochs = [waits for waits in epochs if len(waits) == len(epochs[-1])]
    if not epochs:
        return None
    waits = np.mean(epochs, axis=0)
    worker = int(waits.argmax())
    others = np.delete(waits, worker)
    if waits[worker] - np.median(others) < WORKER_WAITS_MORE:
        return None
    return worker, float(waits[worker]), float(others.max())


def mean(rows: Sequence[Mapping[str, Any]], name: str) -> float | None:
    """Over the epochs but the first, which fills caches and counts only where it is alone."""
    found = [row[name] for row in rows if row.get(name) is not None]
    found = found[1:] or found
    return sum(found) / len(found) if found else None
