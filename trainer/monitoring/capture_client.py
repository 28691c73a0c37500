"""Requests a trace of a training under way and waits for it; see capture_requests.py.

No TensorFlow here: it may be used while a GPU is full.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from preprocess.shell.errors import (
    DataError,
    OutputError,
    RestartError,
    UnavailableError,
    UsageError,
)
from preprocess.shell.json_text import json_text
from preprocess.shell.regular_files import read_json
from trainer.monitoring.capture_requests import FOLDER, MAX_BYTES, REQUEST

_POLL_SECONDS = 0.1
_MOST_WORKERS = 4096
_FOREIGN_CLOCK_SECONDS = 60.0  # that a worker's clock may be ahead


@dataclasses.dataclass(frozen=True)
class Answer:
    """What a worker has answered so far.

    Attributes:
      workers: how many there are.
      trace: its folder below the run directory; "" = there is none yet, or none at all.
      steps: the first and the last one in it.
      problem: why there is none; "" = there is one, or will be.
    """

    workers: int
    trace: str = ""
    steps: tuple[int, int] = (0, 0)
    problem: str = ""

    @property
    def is_complete(self) -> bool:
        """Whether nothing more comes."""
        return bool(self.trace or self.problem)


@dataclasses.dataclass(frozen=True)
class CapturedTrace:
    """A trace that was taken.

    Attributes:
      worker: whose.
      trace: its folder, as seen from here.
      steps: the first and the last one in it, counted from 1.
    """

    worker: int
    trace: str
    steps: tuple[int, int]


def capture(
    run: Path, calls: int, workers: Sequence[int] = (0,), timeout: float = 60.0
) -> list[CapturedTrace]:
    """Has a training trace its next calls, and waits for it.

    Args:
      run: the run directory.
      calls: how many.
      workers: whose, by rank; () = all.
      timeout: seconds within which the traces should be there.

    Raises:
      UsageError: it is no run directory, or has no such worker.
      UnavailableError: no training responds there.
      RestartError: the training takes no trace now.
      OutputError: the run directory takes no files.
    """
    if not (run / "config.json").is_file():
        raise UsageError(f"'{run}' is not a run directory: it has no config.json")
    _check_unfinished(run)
    identity = secrets.token_hex(16)
    with _posted(run, identity, calls, workers, timeout):
        answers = _wait(run, identity, workers, time.monotonic() + timeout)
    size = _size(answers)
    if not size:
        raise UnavailableError(
            f"no worker of '{run}' responded within {timeout:g} s: is a training under way there? "
            "One that starts or validates responds when it is at its steps"
        )
    wanted = workers or range(size)
    if max(wanted) >= size:
        raise UsageError(f"--workers={max(wanted)}: the run has workers 0 to {size - 1}")
    for worker in wanted:
        if worker in answers and answers[worker].problem:
            raise RestartError(f"worker {worker}: {answers[worker].problem}")
    late = [str(w) for w in wanted if w not in answers or not answers[w].is_complete]
    if late:
        raise RestartError(
            f"no trace of worker {', '.join(late)} within {timeout:g} s: the run may be starting, "
            "validating or saving, or its calls take long; try again with a longer --timeout"
        )
    return [
        CapturedTrace(worker, str(run / answers[worker].trace), answers[worker].steps)
        for worker in wanted
    ]


def _check_unfinished(run: Path) -> None:
    with contextlib.suppress(OSError, DataError):
        progress = read_json(run / "progress.json", MAX_BYTES)
        step, total = progress.get("step"), progress.get("total_steps")
        if type(step) is int and type(total) is int and step >= total:
            raise UnavailableError(f"'{run}' has finished: it is at step {step} of {total}")


@contextlib.contextmanager
def _posted(
    run: Path, identity: str, calls: int, workers: Sequence[int], timeout: float
) -> Iterator[None]:
    """Leaves the request while the body runs."""
    folder = run / FOLDER
    fields = {
        "id": identity,
        "calls": calls,
        "workers": list(workers),
        "until": time.time() + timeout + _FOREIGN_CLOCK_SECONDS,
    }
    try:
        folder.mkdir(exist_ok=True)
        _drop_expired(folder / REQUEST)
        with open(folder / REQUEST, "x", encoding="utf-8") as file:
            file.write(json_text(fields) + "\n")
    except FileExistsError:
        raise RestartError(
            f"another capture of '{run}' is under way; try again when it is over"
        ) from None
    except OSError as error:
        raise OutputError(f"'{run}' cannot receive a request: {error.strerror}") from None
    try:
        yield
    finally:
        with contextlib.suppress(OSError):  # the run directory may be gone by now
            (folder / REQUEST).unlink()
            for answer in folder.glob("*.worker-*.json"):  # of those that were killed, too
                answer.unlink()
            folder.rmdir()


def _drop_expired(request: Path) -> None:
    """Removes a request whose capture was killed."""
    with contextlib.suppress(FileNotFoundError, DataError):
        until = read_json(request, MAX_BYTES).get("until")
        if not isinstance(until, (int, float)) or until < time.time():
            os.unlink(request)


def _wait(run: Path, identity: str, workers: Sequence[int], deadline: float) -> dict[int, Answer]:
    """The answers by worker that there are when all are complete, or at the deadline."""
    while True:
        answers = _answers(run / FOLDER, identity)
        size = _size(answers)
        wanted = set(workers or range(size))
        complete = {worker for worker, answer in answers.items() if answer.is_complete}
        settled = wanted <= complete or max(wanted, default=0) >= size  # there is no such worker
        if (size and settled) or time.monotonic() >= deadline:
            return answers
        time.sleep(_POLL_SECONDS)


def _size(answers: Mapping[int, Answer]) -> int:
    """How many workers there are; 0 = unknown."""
    return max((answer.workers for answer in answers.values()), default=0)


def _answers(folder: Path, identity: str) -> dict[int, Answer]:
    answers: dict[int, Answer] = {}
    for path in folder.glob(f"{identity}.worker-*.json"):
        worker = path.name.removeprefix(f"{identity}.worker-").removesuffix(".json")
        with contextlib.suppress(OSError, DataError):
            answer = answer_of(read_json(path, MAX_BYTES))
            if worker.isdecimal() and answer:
                answers[int(worker)] = answer
    return answers


def answer_of(fields: Mapping[str, object]) -> Answer | None:
    """The answer in a file's fields; None if they are none."""
    size, trace, steps = fields.get("workers"), fields.get("trace", ""), fields.get("steps", [0, 0])
    problem = fields.get("problem", "")
    if type(size) is not int or not 0 < size <= _MOST_WORKERS:
        return None
    if not isinstance(trace, str) or not isinstance(problem, str):
        return None
    match steps:
        case [int(first), int(last)]:
            return Answer(size, trace, (first, last), problem)
    return None
