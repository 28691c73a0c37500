"""TensorBoard traces of some ten calls, taken while training: planned ones, and on demand.

Each call is marked as a step by ourselves and the trace starts before the first of them, so
that none is lost (Keras's callback loses the first and the last one). A trace lies within one
epoch: a validation in it would bury the steps.
"""

from __future__ import annotations

import dataclasses
import json
import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import tensorflow as tf

from preprocess.shell.json_text import json_text
from preprocess.shell.regular_files import read_regular
from trainer.config.bounds import LEAST_TRACED_CALLS
from trainer.config.keys import KEYS, Config
from trainer.config.running_sections import ProfileConfig
from trainer.monitoring.capture_requests import CaptureInbox, CaptureRequest
from trainer.monitoring.cores import available_cores

WARM_UP_CALLS = 9  # of a process, before what it was started to trace
USUAL_CALLS = 11  # as many as the default of profile.steps names
TRACES = "traces.jsonl"  # which steps each trace below the folder holds
# TensorFlow names a trace by the second in which it is written.
_APART_SECONDS = 1.0
_MOST_TRACES_BYTES = 16 << 20
_DEFAULT = KEYS["profile.steps"].default


@dataclasses.dataclass(frozen=True)
class Window:
    """Calls to trace: so many, from a step on that is counted from 0."""

    step: int
    calls: int


def planned(config: Config, step: int, total_steps: int) -> list[Window]:
    """What a run that starts or resumes at `step` should trace by its configuration."""
    a_call, steps = config.steps_per_execution, config.profile.steps
    windows = []
    if steps:
        # The default counts calls: so it means ten of them after warm-up, however long they are.
        unit = a_call if steps == _DEFAULT else 1
        first, last = (steps[0] - 1) * unit, steps[1] * unit
        if steps == _DEFAULT:  # a short run has less to warm up
            first = min(first, max(unit, total_steps - (last - first)))
            last = first + (steps[1] - steps[0] + 1) * unit
        if step < last:
            windows.append(Window(first, (last - first) // a_call))
    if config.profile.on_start:
        warm = step + WARM_UP_CALLS * a_call
        latest = total_steps - USUAL_CALLS * a_call  # a short run has less to warm up
        windows.append(Window(max(step, min(warm, latest)), USUAL_CALLS))
    return windows


def was_asked_for(profile: ProfileConfig) -> bool:
    """Whether the user wants a trace by more than the default."""
    return profile.on_start or profile.steps != _DEFAULT


class StepProfiler:
    """Takes the traces of a run; one at a time. A fault of the profiler's never ends training.

    Args:
      logdir: where TensorBoard looks; None = nothing is traced.
      say: takes warnings, and where traces are that somebody wants.
      inbox: looked at before each call for requests of `trainer capture`; None = there are none.

    Attributes:
      facts: of the process, for whoever reads its trace elsewhere; each call carries them.
    """

    def __init__(
        self,
        logdir: Path | None = None,
        say: Callable[[str], None] = lambda _: None,
        inbox: CaptureInbox | None = None,
    ) -> None:
        self._inbox = inbox
        self._request: CaptureRequest | None = None  # that is not begun yet
        self.facts = {"cores": math.ceil(available_cores())}
        self._logdir, self._say = logdir, say
        self._windows: list[Window] = []
        self._warm = self._announced = False
        self._answers: CaptureRequest | None = None
        self._wanted = 0  # calls of the trace under way; 0 = none is
        self._steps: list[int] = []  # at which its calls began
        self._end = 0
        self._mark: Any = None
        self._written = 0.0

    def plan(self, windows: Sequence[Window], steps_a_call: int, announced: bool = False) -> None:
        """Sets what to trace, without what an earlier attempt of the run has traced.

        Args:
          windows: see above.
          steps_a_call: of training.
          announced: whether to log where each trace is.
        """
        self._announced = announced
        if self._logdir is None:
            return
        traced = traced_steps(self._logdir)
        for window in windows:
            first, last = window.step + 1, window.step + window.calls * steps_a_call
            if not any(first <= end and begin <= last for begin, end in traced):
                self._windows.append(window)
                traced.append((first, last))

    @property
    def waits(self) -> bool:
        """Whether something that was planned was not traced yet."""
        return bool(self._windows)

    @property
    def is_over(self) -> bool:
        """Whether the trace under way has all its calls, and should be finished."""
        return 0 < self._wanted <= len(self._steps)

    def before(self, step: int, calls_left: int, new_epoch: bool, last_epoch: bool) -> bool:
        """Called before a call.

        Args:
          step: it starts at.
          calls_left: up to the end of the epoch or a validation within it, this one included.
          new_epoch: whether it is the first one of these.
          last_epoch: whether no others come.

        Returns:
          Whether a trace was begun, which takes a while.
        """
        begun = False
        if self._inbox and self._request is None:
            self._request = self._inbox.look()
        if self._warm and not self._wanted and (self._windows or self._request is not None):
            # Where an epoch has too few calls left, its trace is that of the next one's first.
            def fits(calls: int) -> bool:
                enough = calls_left >= (min(LEAST_TRACED_CALLS, calls) if last_epoch else calls)
                return enough or new_epoch

            begun = self._begin(step, calls_left, fits)
        if self._wanted:
            self._steps.append(step)
            self._mark = tf.profiler.experimental.Trace(
                "train",
                step_num=step + 1,
                _r=1,
                # Of all threads: how many cores it had follows from two calls.
                cpu_us=time.process_time_ns() // 1000,
                **self.facts,
            )
            self._mark.__enter__()
        return begun

    def after(self, step: int) -> None:
        """Called after a call, with the step it ended at."""
        self._warm = True  # the first call of a process traces its graph
        if self._mark is not None:
            self._mark.__exit__(None, None, None)
            self._mark = None
            self._end = step

    def finish(self) -> None:
        """Writes the trace; the device should have caught up."""
        self._stop(save=True)

    def end(self) -> None:
        """The end of the run: answers a request that is still open."""
        if self._inbox and (request := self._request or self._inbox.look(at_once=True)):
            request.failed("the run has ended")

    def __enter__(self) -> StepProfiler:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._mark is not None:
            self.after(self._end)
        if self._wanted:  # something has ended the epoch before its time
            self._stop(save=len(self._steps) > LEAST_TRACED_CALLS)

    def _begin(self, step: int, calls_left: int, fits: Callable[[int], bool]) -> bool:
        window = next((w for w in self._windows if step >= w.step and fits(w.calls)), None)
        request = None
        if window:
            self._windows.remove(window)
            calls = window.calls
        else:
            request = self._request
            if request is None or not fits(request.calls):
                return False
            self._request = None
            if not request.is_waiting:
                return False
            calls = request.calls
        try:
            tf.profiler.experimental.start(str(self._logdir))
        except (tf.errors.OpError, OSError) as error:
            self._fail(request, f"no trace was taken: {error}")
            return False
        self._answers, self._wanted, self._steps = request, min(calls, calls_left), []
        return True

    def _stop(self, save: bool) -> None:
        assert self._logdir
        request, first = self._answers, self._steps[0] + 1 if self._steps else 0
        self._answers, self._wanted = None, 0
        if save:
            time.sleep(max(0.0, self._written + _APART_SECONDS - time.monotonic()))
        try:
            before = _folders(self._logdir)
            tf.profiler.experimental.stop(save=save)
            if not save:
                self._fail(request, "the run has ended")
                return
            self._written = time.monotonic()
            (folder,) = _folders(self._logdir) - before
            line = {"trace": str(folder.relative_to(self._logdir)), "steps": [first, self._end]}
            with open(self._logdir / TRACES, "a", encoding="utf-8") as file:
                file.write(json_text(line) + "\n")
        except (tf.errors.OpError, OSError, ValueError) as error:
            self._fail(request, f"a trace was not written: {error}")
            return
        if request:
            request.taken(folder, (first, self._end))
        elif self._announced:
            self._say(f"trace of steps {first} to {self._end}: {folder}")

    def _fail(self, request: CaptureRequest | None, problem: str) -> None:
        if request is None:
            self._say(f"warning: {problem}")
        else:
            request.failed(problem)


def traced_steps(logdir: Path) -> list[tuple[int, int]]:
    """First and last step of each trace that was written, counted from 1."""
    try:
        text = read_regular(logdir / TRACES, _MOST_TRACES_BYTES).decode("utf-8", "replace")
    except OSError:  # none, or nothing that this trainer has written
        return []
    traces = []
    for line in text.splitlines():
        try:
            match json.loads(line)["steps"]:
                case [int(first), int(last)]:
                    traces.append((first, last))
        except (ValueError, TypeError, KeyError, RecursionError):
            break  # torn by a kill
    return traces


def _folders(logdir: Path) -> set[Path]:
    """The traces below a folder."""
    return set((logdir / "plugins" / "profile").glob("*"))
