"""Slurm: one batch job a run, or an array of them, requeued until it is done.

Logs and exit codes of every rank lie in RUN/launch/lives, which all nodes must see. Nothing is
asked of Slurm's accounting, which not every cluster has.
"""

from __future__ import annotations

import dataclasses
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
from launch.backends.base import FINISHED as OVER
from launch.exit_codes import DONE
from launch.lives import FINISHED, Lives, RankEnd, ended
from launch.log_files import read_logs
from launch.orders import order, ordered
from launch.records import Record
from launch.render.slurm import batch_script
from launch.slurm_step import worker_folder
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
# A job that waits because somebody holds it; the second where it was running before.
_HELD = re.compile("JobHeld|job_requeued_in_held_state")


class Slurm:
    """Starts and watches runs with sbatch, scontrol and scancel."""

    def files(self, record: Record) -> dict[str, str]:
        """What is submitted, by name."""
        return {SCRIPT: script(record)}

    def submit(self, record: Record) -> str:
        """Hands the batch script to sbatch."""
        record.lives_folder.mkdir(parents=True, exist_ok=True)
        order(record, RUNNING)
        job = _run(["sbatch", "--parsable"], script(record)).split(";")[0].strip()
        return f"slurm:{job}"

    def status(self, record: Record) -> Status:
        """From scontrol, and from what the ranks wrote where Slurm has forgotten the job."""
        parts = _parts(record)
        all_lives = [part.lives for part in parts]
        ranks = [rank for part in parts for rank in part.ranks()]
        ends = [end for lives in all_lives for end in _last_ends(lives)]
        firsts = [lives.ranks(lives.numbers()[0]) for lives in all_lives if lives.numbers()]
        state, detail = _together(parts)
        finished = [end.ended for end in ends if end.ended]
        return Status(
            state=state,
            ranks=tuple(ranks),
            restarts=sum(lives.counted() for lives in all_lives),
            interruptions=sum(lives.uncounted() for lives in all_lives),
            started=min((end.started for first in firsts for end in first), default=None),
            finished=max(finished, default=None) if state in OVER else None,
            detail=detail,
        )

    def logs(
        self, record: Record, ranks: Collection[int] | None, follow: bool, previous: bool
    ) -> Iterator[LogLine]:
        """From the files of the lives."""

        def finished() -> bool:
            return self.status(record).state in OVER

        yield from read_logs(_all_lives(record), ranks, follow, previous, finished)

    def stop(self, record: Record) -> None:
        """Cancels the job: SIGTERM, then SIGKILL after Slurm's KillWait."""
        order(record, STOPPED)
        _run(["scancel", _id(record)])

    def suspend(self, record: Record) -> None:
        """Ends the workers as stop() does, and holds the job in the queue."""
        for part in _parts(record):
            if part.state in (PENDING, RUNNING):
                verb = "hold" if part.state == PENDING else "requeuehold"
                _run(["scontrol", verb, part.job_id])

    def resume(self, record: Record) -> None:
        """Releases a held job."""
        held = [part for part in _parts(record) if part.state == SUSPENDED]
        if not held:
            state = self.status(record).state
            raise UsageError(
                f"run '{record.name}' is {state}, not suspended; what ended goes on from what it "
                f"saved with `launch {record.spec.verb}` as before"
            )
        for part in held:
            _run(["scontrol", "release", part.job_id])

    def why(self, record: Record) -> str:
        """From what the ranks wrote, or Slurm's reason for letting a job wait."""
        status = self.status(record)
        words = next((w for lives in _all_lives(record) if (w := lives.why())), status.detail)
        if status.state == PENDING and status.detail not in ("", words):
            words = f"{status.detail} ({words})"
        return status.state + (f": {words}" if words else "")


def script(record: Record) -> str:
    """The batch script of a run."""
    return batch_script(
        record.spec,
        record.directory,
        sys.executable,
        str(record.lives_folder),
        max(lives.next() for lives in _all_lives(record)),
        record.submitted + record.spec.deadline,
    )


@dataclasses.dataclass(frozen=True)
class _Part:
    """A job of the run: the only one, or one of an array."""

    job_id: str
    lives: Lives
    state: str
    detail: str

    def ranks(self) -> list[Rank]:
        """How its ranks are."""
        return [_rank(end, self.state) for end in _last_ends(self.lives)]


def _parts(record: Record) -> list[_Part]:
    jobs = _jobs(record)
    parts = []
    for worker, lives in enumerate(_all_lives(record)):
        job_id, job = _id(record), jobs[0] if jobs else {}
        if record.spec.apart:
            job_id = f"{job_id}_{worker}"
            job = next((job for job in jobs if worker in places(job.get("ArrayTaskId", ""))), {})
        parts.append(_Part(job_id, lives, *_state(job, lives, ordered(record))))
    return parts


def _all_lives(record: Record) -> list[Lives]:
    """Where the ranks write: a folder of the gang, or one of each worker."""
    folder = record.lives_folder
    if not record.spec.apart:
        return [Lives(folder)]
    return [Lives(worker_folder(folder, worker)) for worker in range(record.spec.workers)]


def _last_ends(lives: Lives) -> list[RankEnd]:
    numbers = lives.numbers()
    return lives.ranks(numbers[-1]) if numbers else []


def _together(parts: list[_Part]) -> tuple[str, str]:
    """State of the whole run: of an array, what most needs to be known."""
    states = [part.state for part in parts]
    if RUNNING in states or (PENDING in states and any(state in OVER for state in states)):
        state = RUNNING
    else:
        state = next(s for s in (PENDING, SUSPENDED, FAILED, STOPPED, SUCCEEDED) if s in states)
    return state, next((part.detail for part in parts if part.state == state and part.detail), "")


def places(text: str) -> set[int]:
    """{0, 1, 4} of Slurm's `0-1,4%2`: which jobs of an array a line is about."""
    found: set[int] = set()
    for part in filter(None, text.partition("%")[0].split(",")):
        first, _, last = part.partition("-")
        found |= set(range(int(first), int(last or first) + 1))
    return found


def _id(record: Record) -> str:
    return record.handle.removeprefix("slurm:")


def _jobs(record: Record) -> list[dict[str, str]]:
    """What scontrol says of the jobs; nothing where Slurm has forgotten them."""
    try:
        text = _run(["scontrol", "--oneliner", "show", "job", _id(record)])
    except UsageError as error:
        if "Invalid job id" in str(error):
            return []
        raise
    return [dict(re.findall(r"(\w+)=(\S*)", line)) for line in text.splitlines() if line.strip()]


def _state(job: dict[str, str], lives: Lives, meant: str) -> tuple[str, str]:
    numbers = lives.numbers()
    verdict = lives.verdict(numbers[-1]) if numbers else None
    if not job:
        if verdict is not None and verdict.action == FINISHED:
            return SUCCEEDED, ""
        if meant == STOPPED:
            return STOPPED, ""
        return FAILED, verdict.reason if verdict else "Slurm has forgotten the job"
    reason = job.get("Reason", "")
    state = _STATES.get(job.get("JobState", ""), FAILED)
    if state == PENDING and _HELD.match(reason):
        return SUSPENDED, ""
    if state == FAILED:
        return state, verdict.reason if verdict else job["JobState"]
    return state, "" if reason in ("None", "") or state != PENDING else reason


def _rank(end: RankEnd, state: str) -> Rank:
    code = end.exit_code
    if end.ended is None:
        # Slurm ended it with the job.
        return Rank(end.rank, RUNNING if state == RUNNING else STOPPED, None, end.host)
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
