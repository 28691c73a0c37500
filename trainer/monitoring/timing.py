"""Speed as the loop itself sees it: laps, their means and percentiles."""

from __future__ import annotations

import time
from array import array

import numpy as np

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

# The time a device takes to catch up, of a window of calls, from which on what the host waited
# may have been hidden behind it: ours. A processor has nothing to catch up with, which takes some
# microseconds a call; a GPU that has less of twenty calls is idle for more than half of them.
CATCH_UP = 0.02

# The fraction of a step that each worker waits for its input, by rank; if there are several.
WORKER_WAITS = "worker_input_wait_fractions"


class StepClock:
    """Laps through the training loop, the first call of a process apart: it traces and compiles.

    A device works on after a call has returned, so that single calls are shorter than their steps
    and the one that looks at the loss is longer; over an epoch it adds up. What the host waits
    meanwhile holds nothing up: from time to time it lets the device catch up, and caught_up()
    takes that out again.

    Args:
      measures_waiting: False where several steps run in one call.

    Attributes:
      measures_waiting: as it was given.
      warm: whether the first call is over.
      spent: seconds by part since the clock was made, without the first call.
    """

    def __init__(self, measures_waiting: bool = True) -> None:
        self.measures_waiting = measures_waiting
        self.warm = False
        self._since = 0.0
        self._laps = {WAIT: 0.0, STEP: 0.0, HOST: 0.0}  # of the call under way
        self.spent = dict.fromkeys(self._laps, 0.0)
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

    def lap(self, part: str, at: float | None = None) -> None:
        """What passed since the last lap, up to now or to a time of time.perf_counter(), was WAIT,
        STEP or HOST.
        """
        now = time.perf_counter() if at is None else max(at, self._since)
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
            calls = zip(self._called, left, strict=True)
            step = min((self._since - called) / n for called, n in calls)
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
        """Ends a call of that many steps; returns its seconds. The next one begins here."""
        self.lap(HOST)
        seconds = sum(self._laps.values())
        if self.warm:
            self._steps += steps
            self._step_seconds.append(seconds / steps)
            for part, spent in self._laps.items():
                self._seconds[part] += spent
                self.spent[part] += spent
        else:
            self._open_window()
        self.warm = True
        self._laps = dict.fromkeys(self._laps, 0.0)
        return seconds

    def means(self, pictures_a_step: int, replicas: int) -> dict[str, float | None]:
        """MEANS, at a cost that does not grow with the epoch.

        None if nothing was timed. The fractions are of a step's time: waiting for its batch,
        and Python between the calls.
        """
        total = sum(self._seconds.values())
        if not self._steps or not total:
            return dict.fromkeys(MEANS)
        speed = self._steps * pictures_a_step / total
        # An epoch may end before the waits do that a window has taken out.
        wait, host = (max(0.0, self._seconds[part]) / total for part in (WAIT, HOST))
        values = [
            speed,
            speed / replicas,
            1000 * total / self._steps,
            wait if self.measures_waiting else None,
            host,
        ]
        return dict(zip(MEANS, values, strict=True))

    def figures(self, pictures_a_step: int, replicas: int) -> dict[str, float | None]:
        """MEANS and SPREAD of an epoch: means(), and percentiles of calls, over their steps."""
        percentiles: list[float | None] = [None] * len(PERCENTILES)
        if self._step_seconds:
            percentiles = (1000 * np.percentile(self._step_seconds, PERCENTILES)).tolist()
        return self.means(pictures_a_step, replicas) | dict(zip(SPREAD, percentiles, strict=True))
