"""Where a training is: RUN/progress.json, which its first worker writes."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import time
from typing import Any

from preprocess import storage
from preprocess.shell.cli import say
from preprocess.shell.errors import StorageError

PROGRESS_FILE = "progress.json"
MAX_BYTES = 64 << 10  # it has a few hundred
# An end that was there before the follower: a training that resumes takes it away when it starts.
EARLIER_END_SECONDS = 180.0


class UnknownPositionError(Exception):
    """The file of the run cannot be read; says nothing of where the run is."""


@dataclasses.dataclass(frozen=True)
class RunPosition:
    """The pass of a training's next step.

    Attributes:
      pass_number: from 0.
      last_pass: of the run; None = not known yet.
      ended: "finished" or "failed" if the run is over; "" = it is not.
      variant: that the pass reads; None = not known.
      begun: whether the run has said that it is in this pass.
    """

    pass_number: int = 0
    last_pass: int | None = None
    ended: str = ""
    variant: int | None = None
    begun: bool = True


NOT_BEGUN = RunPosition(begun=False)


def run_position(run: str) -> RunPosition:
    """The position of the run in a directory; NOT_BEGUN if it has written none.

    Raises UnknownPositionError if what it has written cannot be read.
    """
    try:
        text = storage.read_bytes(os.path.join(run, PROGRESS_FILE), MAX_BYTES + 1)
        if len(text) > MAX_BYTES:
            raise ValueError(f"larger than {MAX_BYTES} bytes")
        return _position(json.loads(text))
    except FileNotFoundError:
        return NOT_BEGUN
    except RecursionError:
        raise UnknownPositionError("it is nested too deeply") from None
    except (OSError, StorageError, ValueError) as error:
        raise UnknownPositionError(str(error)[:200]) from None


class RunWatch:
    """Looks at a run again and again, and keeps the last position where a look fails."""

    def __init__(self, run: str) -> None:
        self._run = run
        self._last: RunPosition | None = None
        self._trouble = ""
        self._began = time.monotonic()
        self._first_version: int | None = None
        with contextlib.suppress(UnknownPositionError):
            self._first_version = self._version()

    def look(self) -> RunPosition | None:
        """The run's position; None = never known so far.

        An end that an earlier attempt of the run has left counts only after some minutes in which
        no training has started.
        """
        try:
            version = self._version()
            found = run_position(self._run)
        except UnknownPositionError as error:
            self._tell(f"'{self._run}/{PROGRESS_FILE}' cannot be read, trying again: {error}")
            return self._last
        if not found.begun and not found.ended and self._last is not None and self._last.begun:
            self._tell(f"'{self._run}/{PROGRESS_FILE}' has gone, waiting for it")
            return self._last
        self._trouble = ""
        if self._first_version is None:
            self._first_version = version
        earlier = version == self._first_version
        if found.ended and earlier and time.monotonic() - self._began < EARLIER_END_SECONDS:
            found = dataclasses.replace(found, ended="")
        self._last = found
        return found

    def _version(self) -> int:
        """Changes when the file is written; 0 = it is not there."""
        try:
            return storage.stat(os.path.join(self._run, PROGRESS_FILE)).version
        except FileNotFoundError:
            return 0
        except (OSError, StorageError) as error:
            raise UnknownPositionError(str(error)[:200]) from None

    def _tell(self, trouble: str) -> None:
        if trouble != self._trouble:
            say(trouble)
        self._trouble = trouble


def _position(fields: Any) -> RunPosition:
    """Raises ValueError for what no training writes."""
    if not isinstance(fields, dict):
        raise ValueError("it is no JSON object")
    for name in ("pass", "last_pass", "variant"):
        value = fields.get(name)
        if value is not None and (type(value) is not int or value < 0):
            raise ValueError(f"'{name}' is {str(value)[:40]}, not a number from 0 on")
    ended = fields.get("ended") or ""
    if ended not in ("", "finished", "failed"):
        raise ValueError(f"'ended' is {str(ended)[:40]}")
    at = fields.get("pass")
    return RunPosition(
        at or 0, fields.get("last_pass"), ended, fields.get("variant"), begun=at is not None
    )
