"""Progress of a running training: RUN/progress.json, and the progress bar.

An epoch may take hours, and metrics.jsonl has one line an epoch; this file is at most a second old.
"""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from typing import TYPE_CHECKING

from preprocess.shell.atomic import write_text
from preprocess.shell.json_text import json_text
from preprocess.shell.progress import terminal_bar

if TYPE_CHECKING:
    from tqdm import tqdm

PERIOD_SECONDS = 1.0


class ProgressFile:
    """Writes the file at most once a second.

    Args:
      path: of the file; None on a worker that does not write it.
      total_steps: of the whole run.
    """

    def __init__(self, path: Path | None, total_steps: int) -> None:
        self._path, self._total_steps = path, total_steps
        self._due = 0.0

    def update(self, step: int, epoch: int, seconds: float, last: bool = False) -> None:
        """Records the progress, unless that was done within the last second.

        Args:
          step: steps done; a device may still be executing the last few.
          epoch: the current one, from 1.
          seconds: spent in steps, over all attempts of the run.
          last: write it in any case.
        """
        now = time.monotonic()
        if self._path is None or (now < self._due and not last):
            return
        self._due = now + PERIOD_SECONDS
        fields = {
            "step": step,
            "total_steps": self._total_steps,
            "epoch": epoch,
            "seconds": seconds,
            "time": time.time(),
        }
        with contextlib.suppress(OSError):  # progress is not worth ending a run for
            write_text(self._path, json_text(fields) + "\n", sync=False)


def epoch_bar(epoch: int, epochs: int, done: int, steps: int, shown: bool) -> tqdm:
    """The bar of an epoch (from 1) with `done` steps done; only on a terminal, if `shown`."""
    return terminal_bar(
        shown=shown,
        total=steps,
        initial=done,
        unit="step",
        desc=f"epoch {epoch}/{epochs}",
        leave=False,
    )
