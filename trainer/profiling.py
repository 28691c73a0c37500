"""A TensorBoard trace of some ten steps, taken while training.

Each call is marked as a step by ourselves and the trace starts before the first of them, so
that none is lost (Keras's callback loses the first and the last one).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import tensorflow as tf


class StepProfiler:
    """Traces the steps `first` to `last`, both counted from 1 and included; () = no trace."""

    def __init__(self, steps: Sequence[int], logdir: Path) -> None:
        # Numbers from 0 on, as the loop counts: [first, last).
        self._first, self._last = (steps[0] - 1, steps[1]) if steps else (-1, -1)
        self._logdir = str(logdir)
        self._tracing = False
        self._mark: Any = None

    def before(self, step: int) -> None:
        """Called before a call that starts at `step`."""
        if not self._tracing and self._first <= step < self._last:
            tf.profiler.experimental.start(self._logdir)
            self._tracing = True
        if self._tracing:
            self._mark = tf.profiler.experimental.Trace("train", step_num=step, _r=1)
            self._mark.__enter__()

    def after(self, step: int) -> None:
        """Called after a call, with the step it ended at."""
        if self._mark is not None:
            self._mark.__exit__(None, None, None)
            self._mark = None
        if self._tracing and step >= self._last:
            self._stop()

    def __enter__(self) -> StepProfiler:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._tracing:
            self._stop()

    def _stop(self) -> None:
        self._tracing = False
        tf.profiler.experimental.stop()
