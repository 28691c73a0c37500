"""This machine: a supervisor process a run, which starts its workers and judges their lives.

The workers get the environment that a cluster would give them. The supervisor holds a lock
for as long as it lives, so that nothing has to be believed of a process number.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Collection, Iterator
from pathlib import Path

from launch.backends.base import (
    FAILED,
    FINISHED,
    RUNNING,
    STOPPED,
    SUCCEEDED,
    SUSPENDED,
    LogLine,
    Rank,
    Status,
)
from launch.lives import FAIL, Lives, RankEnd, ended
from launch.lives import FINISHED as LIFE_FINISHED
from launch.log_files import read_logs
from launch.orders import order, ordered
from launch.records import Record
from launch.render.objects import DATAFLOW, with_beam
from launch.spec import Spec
from trainer.errors import UsageError

LOCK, TALK = "supervisor.lock", "supervisor.log"
START_SECONDS = 30.0  # for a supervisor to take its lock
STOP_MARGIN_SECONDS = 30.0  # beyond the grace period, for it to leave


class Local:
    """Starts and watches runs on this machine."""

    def files(self, record: Record) -> dict[str, str]:
        """The command line of each worker."""
        return {"command.txt": shlex.join(worker_command(record.spec)) + "\n"}

    def submit(self, record: Record) -> str:
        """Starts the supervisor, which outlives this process."""
        order(record, RUNNING)
        _start(record)
        return f"local:{record.folder}"

    def status(self, record: Record) -> Status:
        """From the lock and from what the ranks wrote."""
        lives = Lives(record.lives_folder)
        numbers = lives.numbers()
        ends = lives.ranks(numbers[-1]) if numbers else []
        state, detail = _state(record, lives)
        first = lives.ranks(numbers[0]) if numbers else []
        return Status(
            state=state,
            ranks=tuple(_rank(end, state) for end in ends),
            restarts=lives.counted(),
            interruptions=lives.uncounted(),
            started=min((end.started for end in first), default=None),
            finished=max((end.ended for end in ends if end.ended), default=None)
            if state in FINISHED
            else None,
            detail=detail,
        )

    def logs(
        self, record: Record, ranks: Collection[int] | None, follow: bool, previous: bool
    ) -> Iterator[LogLine]:
        """From the files of the lives."""

        def finished() -> bool:
            return not supervised(record)

        yield from read_logs([Lives(record.lives_folder)], ranks, follow, previous, finished)

    def stop(self, record: Record) -> None:
        """Tells the supervisor to end the workers, and waits until they are gone."""
        _end(record, STOPPED)

    def suspend(self, record: Record) -> None:
        """The same; resume() starts them again."""
        _end(record, SUSPENDED)

    def resume(self, record: Record) -> None:
        """Starts the supervisor again."""
        if supervised(record):
            raise UsageError(f"run '{record.name}' is running")
        if _state(record, Lives(record.lives_folder))[0] == SUCCEEDED:
            raise UsageError(f"run '{record.name}' is done")
        order(record, RUNNING)
        _start(record)

    def why(self, record: Record) -> str:
        """From what the ranks wrote."""
        status = self.status(record)
        words = Lives(record.lives_folder).why() or status.detail
        return status.state + (f": {words}" if words else "")


def worker_command(spec: Spec) -> tuple[str, ...]:
    """What a worker runs; a build for Dataflow is submitted from here."""
    if spec.backend == "dataflow":
        spec = dataclasses.replace(spec, arguments=with_beam(spec.arguments, DATAFLOW))
    return spec.command


def supervised(record: Record) -> bool:
    """Whether the supervisor of a run lives."""
    try:
        with open(record.folder / LOCK, "r+b") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


@contextlib.contextmanager
def supervising(record: Record) -> Iterator[None]:
    """Holds the lock and shows the process number; raises UsageError where another holds it."""
    with open(record.folder / LOCK, "a+b") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UsageError(f"run '{record.name}' is supervised already") from None
        lock.truncate(0)
        lock.write(str(os.getpid()).encode())
        lock.flush()
        yield


def _start(record: Record) -> None:
    before = len(Lives(record.lives_folder).numbers())
    with open(record.folder / TALK, "ab") as talk:
        supervisor = subprocess.Popen(
            [sys.executable, "-m", "launch.supervise", record.name],
            stdin=subprocess.DEVNULL,
            stdout=talk,
            stderr=subprocess.STDOUT,
            cwd=record.directory,
            env={**os.environ, "PYTHONPATH": _python_path()},
            start_new_session=True,  # a Ctrl-C here is not meant for it
        )
    # It has begun when its first life has.
    deadline = time.monotonic() + START_SECONDS
    while len(Lives(record.lives_folder).numbers()) == before:
        if supervisor.poll() is not None or time.monotonic() > deadline:
            words = (record.folder / TALK).read_text(encoding="utf-8", errors="replace")
            raise UsageError(f"the supervisor did not start: {words.strip()[-500:]}")
        time.sleep(0.02)


def _python_path() -> str:
    here = str(Path(__file__).resolve().parents[2])
    return os.pathsep.join(dict.fromkeys([here, *os.environ.get("PYTHONPATH", "").split(":")]))


def _end(record: Record, state: str) -> None:
    order(record, state)
    if not supervised(record):
        return
    pid = int((record.folder / LOCK).read_text(encoding="utf-8"))
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + record.spec.grace + STOP_MARGIN_SECONDS
    while supervised(record):
        if time.monotonic() > deadline:
            raise UsageError(f"the supervisor of '{record.name}' (process {pid}) does not end")
        time.sleep(0.05)


def _state(record: Record, lives: Lives) -> tuple[str, str]:
    if supervised(record):
        return RUNNING, ""
    numbers = lives.numbers()
    verdict = lives.verdict(numbers[-1]) if numbers else None
    if verdict is not None and verdict.action == LIFE_FINISHED:
        return SUCCEEDED, ""
    if verdict is not None and verdict.action == FAIL:
        return FAILED, verdict.reason
    meant = ordered(record)
    if meant in (STOPPED, SUSPENDED):
        return meant, ""
    return FAILED, f"its supervisor is gone; `launch resume {record.name}` goes on"


def _rank(end: RankEnd, state: str) -> Rank:
    if end.ended is None:
        # A worker dies with its supervisor.
        return Rank(end.rank, RUNNING if state == RUNNING else STOPPED, None, end.host)
    code = end.exit_code
    detail = ended(code) if code else ""
    return Rank(end.rank, FAILED if code else SUCCEEDED, code, end.host, detail)
