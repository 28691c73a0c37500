"""A trace on demand, the training's side: requests and answers are files in the run directory.

    RUN/capture/request.json      `id`, `calls`, `workers` (ranks; [] = all of them), `until` (Unix
                                  time); it is there while somebody waits
    RUN/capture/ID.worker-N.json  `workers`: how many there are; later `trace` (a path below RUN)
                                  and `steps` [first, last], or `problem`

So it works wherever RUN is visible, and nothing listens. trainer/monitoring/capture_client.py is
the other side. No TensorFlow here.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
import time
from collections.abc import Mapping
from pathlib import Path

from preprocess.shell.atomic import write_text
from preprocess.shell.errors import DataError
from preprocess.shell.json_text import json_text
from preprocess.shell.regular_files import read_json
from trainer.config.bounds import LEAST_TRACED_CALLS

FOLDER, REQUEST = "capture", "request.json"
MOST_CALLS = 100  # more make traces that no page opens
MAX_BYTES = 64 << 10  # of a request or an answer
PERIOD_SECONDS = 1.0  # between two looks, as between two writes of progress.json


def answer_name(identity: str, rank: int) -> str:
    """The file name of a worker's answer."""
    return f"{identity}.worker-{rank}.json"


@dataclasses.dataclass(frozen=True)
class CaptureRequest:
    """A trace that somebody waits for.

    Attributes:
      calls: how many to trace.
      identity: of the request, 32 hex digits.
      run: the run directory.
      rank, size: this worker's, and how many there are.
    """

    calls: int
    identity: str
    run: Path
    rank: int
    size: int

    @property
    def is_waiting(self) -> bool:
        """Whether somebody still waits for it."""
        try:
            fields = read_json(self.run / FOLDER / REQUEST, MAX_BYTES)
        except (OSError, DataError):
            return False
        return fields.get("id") == self.identity

    def acknowledge(self) -> None:
        """Answers that the request has been seen."""
        self._answer({})

    def taken(self, trace: Path, steps: tuple[int, int]) -> None:
        """Answers with the folder of the trace, and its first and last step, from 1."""
        relative = os.path.relpath(trace, self.run)
        self._answer({"trace": relative, "steps": list(steps)})

    def failed(self, problem: str) -> None:
        """Answers that there is no trace, and why."""
        self._answer({"problem": problem})

    def _answer(self, fields: Mapping[str, object]) -> None:
        path = self.run / FOLDER / answer_name(self.identity, self.rank)
        with contextlib.suppress(OSError):  # a run does not end for what is only looked at
            if self.is_waiting:
                write_text(path, json_text({"workers": self.size, **fields}) + "\n", sync=False)


class CaptureInbox:
    """Where a worker finds requests.

    Args:
      run: the run directory, which all workers share.
      rank: of this worker.
      size: how many workers there are.
      period: seconds between two looks.
    """

    def __init__(
        self, run: Path, rank: int = 0, size: int = 1, period: float = PERIOD_SECONDS
    ) -> None:
        self._run, self._rank, self._size, self._period = run, rank, size, period
        self._file = os.fspath(run / FOLDER / REQUEST)
        self._due = 0.0
        self._seen: tuple[int, int] | None = None

    def look(self, at_once: bool = False) -> CaptureRequest | None:
        """A request to this worker that has not been seen before; a `stat` a period at most.

        Args:
          at_once: look, whenever the last look was.
        """
        now = time.monotonic()
        if now < self._due and not at_once:
            return None
        self._due = now + self._period
        try:
            status = os.stat(self._file)
            identity = status.st_ino, status.st_mtime_ns
            if identity == self._seen:
                return None
            fields = read_json(self._file, MAX_BYTES)
        except (OSError, DataError):  # none, or one that is being written
            return None
        self._seen = identity
        return self._request(fields)

    def _request(self, fields: Mapping[str, object]) -> CaptureRequest | None:
        calls, workers, name = fields.get("calls"), fields.get("workers"), fields.get("id")
        if type(calls) is not int or not LEAST_TRACED_CALLS <= calls <= MOST_CALLS:
            return None
        if not isinstance(name, str) or not re.fullmatch(r"[0-9a-f]{32}", name):
            return None
        if not isinstance(workers, list) or (workers and self._rank not in workers):
            return None
        until = fields.get("until")
        if not isinstance(until, (int, float)):
            return None
        request = CaptureRequest(calls, name, self._run, self._rank, self._size)
        if time.time() > until:
            request.failed("the request has expired by this worker's clock")
            return None
        request.acknowledge()
        return request
