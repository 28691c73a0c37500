"""Slurm: one batch job a run, requeued until it is done.

Logs and exit codes of every rank lie in RUN/launch/lives, which all nodes must see. Nothing is
asked of Slurm's accounting, which not every cluster has.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Collection, Iterator

from launch.backends.base import (
    FAILED,
    PENDING,
    RUNNING,
    STOPPED,
    SUCCEEDED,
    SUSPENDED,
    LogLine,
    Rank,
    Status,
)
from launch.exit_codes import DONE
from launch.lives import FAIL, FINISHED, Lives, RankEnd, ended
from launch.log_files import read_logs
from launch.records import Record
from launch.render.slurm import batch_script
from trainer.errors import UsageError

SCRIPT = "batch.sh"

# Slurm's states of a job (squeue(1), "JOB STATE CODES"); what is not here has failed.
_STATES = {
    "PENDING": PENDING,
    "CONFIGURING": PENDING,
    "REQUEUED": PENDING,
    "REQUEUE_FED": PENDING,
    "REQUEUE_HOLD": SUSPENDED,
    "SUSPENDED": SUSPENDED,
    "RESIZING": RUNNING,
    "RUNNING": RUNNING,
    "SIGNALING": RUNNING,
    "STAGE_OUT": RUNNING,
    "COMPLETING": RUNNING,
    "COMPLETED": SUCCEEDED,
    "CANCELLED": STOPPED,
}


class Slurm:
    """Starts and watches runs with sbatch, scontrol and scancel."""

    def files(self, record: Record) -> dict[str, str]:
        """What is submitted, by name."""
        return {SCRIPT: script(record)}

    def submit(self, record: Record) -> str:
        """Hands the batch script to sbatch."""
        self.lives(record).folder.mkdir(parents=True, exist_ok=True)
        job = _run(["sbatch", "--parsable"], script(record)).split(";")[0].strip()
        return f"slurm:{job}"

    def status(self, record: Record) -> Status:
        """From scontrol, and from what the ranks wrote where Slurm has forgotten the job."""
        lives = self.lives(record)
        numbers = lives.numbers()
        ends = lives.ranks(numbers[-1]) if numbers else []
        job = _job(record)
        state, detail = _state(job, lives)
        concluded = bool(numbers) and lives.verdict(numbers[-1]) is not None
        ranks = tuple(_rank(end, concluded) for end in ends)
        first = lives.ranks(numbers[0]) if numbers else []
        over = state in (SUCCEEDED, FAILED, STOPPED)
        return Status(
            state=state,
            ranks=ranks,
            restarts=lives.counted(),
            interruptions=lives.uncounted(),
            started=min((end.started for end in first), default=None),
            finished=max((e.ended for e in ends if e.ended), default=None) if over else None,
            detail=detail,
        )

    def logs(
        self, record: Record, ranks: Collection[int] | None, follow: bool, previous: bool
    ) -> Iterator[LogLine]:
        """From the files of the lives."""

        def finished() -> bool:
            return self.status(record).state in (SUCCEEDED, FAILED, STOPPED)

        yield from read_logs(self.lives(record), ranks, follow, previous, finished)

    def stop(self, record: Record) -> None:
        """Cancels the job: SIGTERM, then SIGKILL after Slurm's KillWait."""
        _run(["scancel", _id(record)])

    def suspend(self, record: Record) -> None:
        """Ends the workers and holds the job in the queue."""
        _run(["scontrol", "requeuehold", _id(record)])

    def resume(self, record: Record) -> None:
        """Releases a held job."""
        _run(["scontrol", "release", _id(record)])

    def why(self, record: Record) -> str:
        """From what the ranks wrote."""
        status = self.status(record)
        words = self.lives(record).why() or status.detail
        return status.state + (f": {words}" if words else "")

    def lives(self, record: Record) -> Lives:
        """Where its ranks write."""
        return Lives(_lives_folder(record))


def script(record: Record) -> str:
    """The batch script of a run."""
    until = record.submitted + record.spec.deadline
    return batch_script(record.spec, record.directory, sys.executable, _lives_folder(record), until)


def _lives_folder(record: Record) -> str:
    if not record.workdir or "://" in record.workdir:
        raise UsageError("--backend=slurm keeps logs in --workdir: give one that all nodes see")
    return f"{record.workdir}/launch/lives"


def _id(record: Record) -> str:
    return record.handle.removeprefix("slurm:")


def _job(record: Record) -> dict[str, str]:
    """What scontrol says of the job; empty where Slurm has forgotten it."""
    try:
        text = _run(["scontrol", "--oneliner", "show", "job", _id(record)])
    except UsageError as error:
        if "Invalid job id" in str(error):
            return {}
        raise
    return dict(re.findall(r"(\w+)=(\S*)", text))


def _state(job: dict[str, str], lives: Lives) -> tuple[str, str]:
    numbers = lives.numbers()
    verdict = lives.verdict(numbers[-1]) if numbers else None
    if not job:
        if verdict is None:
            return FAILED, "Slurm has forgotten the job, and it left no word"
        return (SUCCEEDED if verdict.action == FINISHED else FAILED), verdict.reason
    reason = job.get("Reason", "")
    state = _STATES.get(job.get("JobState", ""), FAILED)
    if state == PENDING and reason.startswith("JobHeld"):
        state = SUSPENDED
    if state == FAILED:
        return state, verdict.reason if verdict and verdict.action == FAIL else job["JobState"]
    return state, "" if reason in ("None", "") else reason


def _rank(end: RankEnd, concluded: bool) -> Rank:
    code = end.exit_code
    if end.ended is None:
        # Slurm ended it with the others, where its life is over.
        return Rank(end.rank, STOPPED if concluded else RUNNING, None, end.host)
    state = SUCCEEDED if code == DONE else FAILED
    return Rank(end.rank, state, code, end.host, ended(code) if code else "")


def _run(command: list[str], text: str = "") -> str:
    try:
        done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise UsageError(f"no {command[0]} on this machine; is it a Slurm login node?") from None
    if done.returncode:
        words = (done.stderr or done.stdout).strip().splitlines()
        raise UsageError(f"{command[0]}: {words[-1] if words else done.returncode}")
    return done.stdout
