"""This machine: one supervisor process for each run, which starts and restarts its workers.

The workers get the environment that a cluster would give them. The supervisor holds a lock as long
as it lives, so that no process id has to be trusted.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from launch.render.objects import with_beam
from launch.runs.orders import order, ordered
from launch.runs.records import Record
from launch.runs.status import (
    FAILED,
    FINISHED,
    RUNNING,
    STOPPED,
    SUCCEEDED,
    SUSPENDED,
    LogLine,
    LogQuery,
    Rank,
    Status,
    with_follower_state,
)
from launch.supervisor.attempts import Attempts, RankStatus
from launch.supervisor.lock import LOCK, supervised
from launch.supervisor.log_files import read_logs
from preprocess.shell.errors import UsageError
from trainer.workers.supervisor import restart_policy
from trainer.workers.supervisor.restart_policy import how_it_ended

TALK = "supervisor.log"
START_SECONDS = 30.0  # for a supervisor to acquire its lock
STOP_MARGIN_SECONDS = 30.0  # beyond the grace period, for it to exit


class Local:
    """Starts and watches runs on this machine."""

    def files(self, record: Record) -> dict[str, str]:
        """The command line of each worker, and that of a follower next to them."""
        commands = filter(None, (with_beam(record.spec).command, record.spec.follower))
        return {"command.txt": "".join(f"{shlex.join(command)}\n" for command in commands)}

    def submit(self, record: Record) -> str:
        """Starts the supervisor, which outlives this process."""
        order(record, RUNNING)
        _start(record)
        return f"local:{record.folder}"

    def status(self, record: Record) -> Status:
        """From the lock and the files of the ranks."""
        attempts = Attempts(record.attempts_folder)
        numbers = attempts.numbers()
        ends = attempts.ranks(numbers[-1]) if numbers else []
        state, detail = _state(record, attempts)
        first = attempts.ranks(numbers[0]) if numbers else []
        return Status(
            state=state,
            ranks=tuple(_rank(end, state) for end in ends),
            restarts=attempts.counted(),
            interruptions=attempts.uncounted(),
            started=min((end.started for end in first), default=None),
            finished=max((end.ended for end in ends if end.ended), default=None)
            if state in FINISHED
            else None,
            detail=detail,
            follower=attempts.follower_state() if record.spec.follower and state == RUNNING else "",
        )

    def logs(self, record: Record, wanted: LogQuery) -> Iterator[LogLine]:
        """From the files of the attempts."""

        def finished() -> bool:
            return not supervised(record)

        attempts = [Attempts(record.attempts_folder)]
        yield from read_logs(attempts, wanted, finished)

    def stop(self, record: Record) -> None:
        """Tells the supervisor to stop the workers, and waits until they have ended."""
        _end(record, STOPPED)

    def suspend(self, record: Record) -> None:
        """Stops the workers; resume() restarts them."""
        _end(record, SUSPENDED)

    def resume(self, record: Record) -> None:
        """Restarts the supervisor."""
        if supervised(record):
            raise UsageError(f"run '{record.name}' is running already")
        if _state(record, Attempts(record.attempts_folder))[0] == SUCCEEDED:
            raise UsageError(f"run '{record.name}' is done: nothing to resume")
        order(record, RUNNING)
        _start(record)

    def why(self, record: Record) -> str:
        """From the files of the ranks."""
        status = self.status(record)
        words = Attempts(record.attempts_folder).why() or status.detail
        return with_follower_state(status.state + (f": {words}" if words else ""), status.follower)


def _start(record: Record) -> None:
    before = len(Attempts(record.attempts_folder).numbers())
    with open(record.folder / TALK, "ab") as talk:
        supervisor = subprocess.Popen(
            [sys.executable, "-m", "launch.supervisor.supervise", record.name],
            stdin=subprocess.DEVNULL,
            stdout=talk,
            stderr=subprocess.STDOUT,
            cwd=record.directory,
            env={**os.environ, "PYTHONPATH": _python_path()},
            start_new_session=True,  # Ctrl-C here must not reach it
        )
    # It has started when its first attempt has.
    deadline = time.monotonic() + START_SECONDS
    while len(Attempts(record.attempts_folder).numbers()) == before:
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
            raise UsageError(f"the supervisor of '{record.name}' (process {pid}) does not stop")
        time.sleep(0.05)


def _state(record: Record, attempts: Attempts) -> tuple[str, str]:
    if supervised(record):
        return RUNNING, ""
    numbers = attempts.numbers()
    decision = attempts.decision(numbers[-1]) if numbers else None
    if decision is not None and decision.action == restart_policy.FINISHED:
        return SUCCEEDED, ""
    if decision is not None and decision.action == restart_policy.FAIL:
        return FAILED, decision.reason
    meant = ordered(record)
    if meant in (STOPPED, SUSPENDED):
        return meant, ""
    return (
        FAILED,
        f"its supervisor was killed; `launch resume {record.found_in or record.name}` continues it",
    )


def _rank(end: RankStatus, state: str) -> Rank:
    if end.ended is None:
        # A worker dies with its supervisor.
        return Rank(end.rank, RUNNING if state == RUNNING else STOPPED, None, end.host)
    code = end.exit_code
    detail = how_it_ended(code) if code else ""
    return Rank(end.rank, FAILED if code else SUCCEEDED, code, end.host, detail)
