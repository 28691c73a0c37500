"""Which process has which run, in files that work on any shared folder.

    DIR/claims/003.json      {"place": ..., "pid": ..., "started": ...}

A process renews the modification time of its claims while it works. Whether one still lives is
known at once on the same machine (by its id and start time), and elsewhere by the age of its
claim. Everything but renewing is done under the study's lock.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
from pathlib import Path

from preprocess.shell.atomic import write_text
from preprocess.shell.errors import DataError
from preprocess.shell.process import machine, start_time
from preprocess.shell.regular_files import read_json
from trainer.search.search_run import Run

BEAT_SECONDS = 10.0
STALE_SECONDS = 90.0  # a few beats, and what a busy file server may take
_MAX_BYTES = 4096


@dataclasses.dataclass(frozen=True)
class Owner:
    """A process: where it runs, its number there, and when it was started.

    `place` is the machine's boot and the namespace of process numbers: containers with the same
    host name, or restarted ones, are different places. `started` is in clock ticks after the
    boot, so that a number given out again is another process.
    """

    place: str
    pid: int
    started: int


def owner(pid: int) -> Owner:
    """A living process of this machine."""
    return Owner(machine(), pid, start_time(pid) or 0)


class Claims:
    """The claims of a search."""

    def __init__(self, folder: Path, mine: Owner) -> None:
        """Takes the folder of the claims and the process that makes them."""
        folder.mkdir(exist_ok=True)
        self._folder, self._mine = folder, mine

    def take(self, run: Run) -> None:
        """Makes a run this process's."""
        write_text(self._file(run), json.dumps(dataclasses.asdict(self._mine)))

    def release(self, run: Run) -> None:
        """Gives a run up; one that is another process's by now stays so."""
        if self.is_mine(run):
            self._file(run).unlink(missing_ok=True)

    def is_mine(self, run: Run) -> bool:
        """Whether this process still has a run."""
        return self._read(run) == self._mine

    def renew(self, run: Run) -> None:
        """Shows that this process is alive."""
        with contextlib.suppress(OSError):
            os.utime(self._file(run))

    def is_free(self, run: Run) -> bool:
        """Whether no living process has a run."""
        found = self._read(run)
        if found is None:
            return True
        if found.place and found.place == self._mine.place:
            return start_time(found.pid) != found.started
        return self._age(run) > STALE_SECONDS

    def _file(self, run: Run) -> Path:
        return self._folder / f"{run.name}.json"

    def _read(self, run: Run) -> Owner | None:
        try:
            found = Owner(**read_json(self._file(run), _MAX_BYTES, follow=False))
        except (OSError, DataError, TypeError):
            return None
        return found if [*map(type, dataclasses.astuple(found))] == [str, int, int] else None

    def _age(self, run: Run) -> float:
        """Seconds since a claim was renewed, by the clock of whoever keeps the files."""
        now = self._folder / f"now-{self._mine.pid}"
        try:
            now.touch()
            return now.stat().st_mtime - self._file(run).stat().st_mtime
        except OSError:
            return 0.0  # gone just now: another process has changed it
        finally:
            now.unlink(missing_ok=True)
