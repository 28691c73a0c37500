"""Progress of a running training: RUN/progress.json, and the progress bar.

An epoch may take hours, and metrics.jsonl has one line an epoch; this file is at most a second old.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from preprocess.shell.atomic import write_text
from preprocess.shell.errors import DataError, UserError
from preprocess.shell.exit_codes import FINAL
from preprocess.shell.json_text import json_text
from preprocess.shell.progress import terminal_bar
from preprocess.shell.regular_files import read_json

if TYPE_CHECKING:
    from tqdm import tqdm

PERIOD_SECONDS = 1.0
FINISHED, FAILED = "finished", "failed"


class ProgressFile:
    """Writes the file at most once a second.

    Args:
      path: of the file; None on a worker that does not write it.
      total_steps: of the whole run.
      steps_per_pass: 0 = passes are not recorded.
      variant_of: the live variant that a pass reads; None = there are none.
    """

    def __init__(
        self,
        path: Path | None,
        total_steps: int,
        steps_per_pass: int = 0,
        variant_of: Callable[[int], int] | None = None,
    ) -> None:
        self._path, self._total_steps = path, total_steps
        self._steps_per_pass, self._pass = steps_per_pass, -1
        self._variant_of = variant_of
        self._due = 0.0

    def update(self, step: int, epoch: int, seconds: float, last: bool = False) -> None:
        """Records the progress, unless that was done within the last second; with live variants the
        first step of a pass is always recorded, as `preprocess follow` builds for it.

        Args:
          step: steps done; a device may still be executing the last few.
          epoch: the current one, from 1.
          seconds: spent in steps, over all attempts of the run.
          last: write it in any case.
        """
        now = time.monotonic()
        of_pass = step // self._steps_per_pass if self._steps_per_pass else -1
        new_pass, self._pass = self._variant_of and of_pass != self._pass, of_pass
        if self._path is None or (now < self._due and not new_pass and not last):
            return
        self._due = now + PERIOD_SECONDS
        fields: dict[str, int | float] = {
            "step": step,
            "total_steps": self._total_steps,
            "epoch": epoch,
            "seconds": seconds,
            "time": time.time(),
        }
        if self._steps_per_pass:
            last_pass = max(0, self._total_steps - 1) // self._steps_per_pass
            fields |= {"pass": of_pass, "last_pass": last_pass}
        if self._variant_of:
            fields["variant"] = self._variant_of(of_pass)
        with contextlib.suppress(OSError):  # progress is not worth ending a run for
            write_text(self._path, json_text(fields) + "\n", sync=False)


def mark_ended(path: Path, how: str) -> None:
    """Adds to a progress file that there is that the run is over: "finished", or "failed" for
    good.
    """
    with contextlib.suppress(OSError, DataError):
        write_text(path, json_text({**read_json(path), "ended": how}) + "\n", sync=False)


def unmark_ended(path: Path) -> None:
    """Removes what mark_ended() added: the run continues, and a follower is to build for it."""
    with contextlib.suppress(OSError, DataError):
        fields = read_json(path)
        if fields.pop("ended", None) is not None:
            write_text(path, json_text(fields) + "\n", sync=False)


@contextlib.contextmanager
def failures_marked(path: Path, has_stepped: Callable[[], bool]) -> Iterator[None]:
    """Marks the run as failed where the block ends with an error that no restart mends, unless it
    has not taken a step: a wrong flag does not end the run that it was meant for.
    """
    try:
        yield
    except UserError as error:
        if error.exit_code in FINAL and has_stepped():
            mark_ended(path, FAILED)
        raise


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
