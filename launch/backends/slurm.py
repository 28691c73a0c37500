"""Slurm: a run is one batch job, or an array of them, requeued until it is done.

Logs and exit codes of every rank are in RUN/launch/lives, which all nodes must see. Slurm's
accounting, which not every cluster has, is not used.
"""

from __future__ import annotations

import dataclasses
import re
import subprocess
import sys
from collections.abc import Iterator

from launch.render.slurm import batch_script
from launch.runs.orders import order, ordered
from launch.runs.records import Record
from launch.runs.status import (
    FAILED,
    PENDING,
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
from launch.runs.status import FINISHED as OVER
from launch.supervisor.attempts import Attempts, RankStatus
from launch.supervisor.log_files import read_logs
from launch.supervisor.slurm_step import worker_folder
from preprocess.shell.errors import DataError, UsageError
from preprocess.shell.exit_codes import ExitCode
from trainer.workers.supervisor.restart_policy import FINISHED, how_it_ended

SCRIPT = "batch.sh"

# Slurm's states of a job (squeue(1), "JOB STATE CODES"); those not listed mean failure.
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
# How Slurm ended jobs of which nobody could judge the end; others are named as Slurm does.
_NOT_JUDGED = {
    "TIMEOUT": "Slurm ended it at its time limit before its end was judged",
    "OUT_OF_MEMORY": "Slurm killed it for memory: raise --memory",
    "NODE_FAIL": "its node failed: the same command resumes it",
}
# Reasons of a job that waits because somebody holds it; the second if it was running before.
_HELD = re.compile("JobHeld|job_requeued_in_held_state")


class Slurm:
    """Starts and watches runs with sbatch, scontrol and scancel."""

    def files(self, record: Record) -> dict[str, str]:
        """What is submitted, by name."""
        return {SCRIPT: script(record)}

    def submit(self, record: Record) -> str:
        """Passes the batch script to sbatch."""
        record.attempts_folder.mkdir(parents=True, exist_ok=True)
        order(record, RUNNING)
        job = _run(["sbatch", "--parsable"], script(record)).split(";")[0].strip()
        return f"slurm:{job}"

    def status(self, record: Record) -> Status:
        """From scontrol, or from the files of the ranks if Slurm has forgotten the job."""
        parts = _parts(record)
        all_attempts = [part.attempts for part in parts]
        ranks = [rank for part in parts for rank in part.ranks()]
        ends = [end for attempts in all_attempts for end in _last_ends(attempts)]
        firsts = [
            attempts.ranks(attempts.numbers()[0]) for attempts in all_attempts if attempts.numbers()
        ]
        state, detail = _together(parts)
        finished = [end.ended for end in ends if end.ended]
        follows = record.spec.follower and state == RUNNING
        follower = all_attempts[0].follower_state() if follows else ""
        return Status(
            state=state,
            ranks=tuple(ranks),
            restarts=sum(attempts.counted() for attempts in all_attempts),
            interruptions=sum(attempts.uncounted() for attempts in all_attempts),
            started=min((end.started for first in firsts for end in first), default=None),
            finished=max(finished, default=None) if state in OVER else None,
            detail=detail,
            follower=follower,
        )

    def logs(self, record: Record, wanted: LogQuery) -> Iterator[LogLine]:
        """From the files of the attempts."""

        def finished() -> bool:
            return self.status(record).state in OVER

        yield from read_logs(_all_attempts(record), wanted, finished)

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
                f"run '{record.name}' is {state}, not suspended; to continue a run that has ended "
                f"from its last saved state, run `launch {record.spec.verb}` again"
            )
        for part in held:
            _run(["scontrol", "release", part.job_id])

    def why(self, record: Record) -> str:
        """From the files of the ranks, or Slurm's reason for which a job waits."""
        status = self.status(record)
        words = next(
            (w for attempts in _all_attempts(record) if (w := attempts.why())), status.detail
        )
        if status.detail in _NOT_JUDGED.values():
            words = status.detail  # the last attempt's; what is recorded is of those before
        if status.state == PENDING and status.detail not in ("", words):
            words = f"{status.detail} ({words})"
        return with_follower_state(status.state + (f": {words}" if words else ""), status.follower)


def script(record: Record) -> str:
    """The batch script of a run."""
    return batch_script(
        record.spec,
        record.directory,
        sys.executable,
        str(record.attempts_folder),
        max(attempts.next() for attempts in _all_attempts(record)),
        record.submitted + record.spec.deadline,
    )


@dataclasses.dataclass(frozen=True)
class _Part:
    """A job of the run: the only one, or one of an array."""

    job_id: str
    attempts: Attempts
    state: str
    detail: str

    def ranks(self) -> list[Rank]:
        """The states of its ranks."""
        return [_rank(end, self.state) for end in _last_ends(self.attempts)]


def _parts(record: Record) -> list[_Part]:
    jobs = _jobs(record)
    parts = []
    for worker, attempts in enumerate(_all_attempts(record)):
        job_id, job = _id(record), jobs[0] if jobs else {}
        if record.spec.independent:
            job_id = f"{job_id}_{worker}"
            job = next((job for job in jobs if worker in places(job.get("ArrayTaskId", ""))), {})
        state = _state(job, attempts, ordered(record), record.submitted)
        parts.append(_Part(job_id, attempts, *state))
    return parts


def _all_attempts(record: Record) -> list[Attempts]:
    """The folders that the ranks write to: one, or one for each worker."""
    folder = record.attempts_folder
    if not record.spec.independent:
        return [Attempts(folder)]
    return [Attempts(worker_folder(folder, worker)) for worker in range(record.spec.workers)]


def _last_ends(attempts: Attempts) -> list[RankStatus]:
    numbers = attempts.numbers()
    return attempts.ranks(numbers[-1]) if numbers else []


def _last_ended(attempts: Attempts) -> float:
    """When the last attempt ended; 0 before."""
    return max((end.ended or 0.0 for end in _last_ends(attempts)), default=0.0)


def _together(parts: list[_Part]) -> tuple[str, str]:
    """State of the whole run; for an array, the most important one of its jobs."""
    states = [part.state for part in parts]
    if RUNNING in states or (PENDING in states and any(state in OVER for state in states)):
        state = RUNNING
    else:
        state = next(s for s in (PENDING, SUSPENDED, FAILED, STOPPED, SUCCEEDED) if s in states)
    return state, next((part.detail for part in parts if part.state == state and part.detail), "")


def places(text: str) -> set[int]:
    """{0, 1, 4} of Slurm's `0-1,4%2`: the jobs of an array that a line is about."""
    found: set[int] = set()
    for part in filter(None, text.partition("%")[0].split(",")):
        first, _, last = part.partition("-")
        found |= set(range(int(first), int(last or first) + 1))
    return found


def _id(record: Record) -> str:
    """The number of the job. A record may come from elsewhere: only a number is passed to Slurm."""
    match = re.fullmatch(r"slurm:([0-9]{1,10})", record.handle)
    if not match:
        raise DataError(f"the record of '{record.name}' has no Slurm job: {record.handle!a}")
    return match[1]


def _jobs(record: Record) -> list[dict[str, str]]:
    """Scontrol's output for the jobs; {} if Slurm has forgotten them."""
    try:
        text = _run(["scontrol", "--oneliner", "show", "job", _id(record)])
    except UsageError as error:
        if "Invalid job id" in str(error):
            return []
        raise
    return [dict(re.findall(r"(\w+)=(\S*)", line)) for line in text.splitlines() if line.strip()]


def _state(
    job: dict[str, str], attempts: Attempts, meant: str, submitted: float
) -> tuple[str, str]:
    numbers = attempts.numbers()
    decision = attempts.decision(numbers[-1]) if numbers else None
    if not job:
        if decision is not None and decision.action == FINISHED:
            return SUCCEEDED, ""
        if meant == STOPPED:
            return STOPPED, ""
        return FAILED, decision.reason if decision else "Slurm has forgotten the job"
    reason = job.get("Reason", "")
    state = _STATES.get(job.get("JobState", ""), FAILED)
    if state == PENDING and _HELD.match(reason):
        return SUSPENDED, ""
    done = decision is not None and decision.action == FINISHED
    if state == FAILED and done and _last_ended(attempts) > submitted:
        # Slurm ends a job as OUT_OF_MEMORY where any process of it was killed, such as a follower.
        return SUCCEEDED, ""
    if state == FAILED:
        said = job.get("JobState", "")
        return state, decision.reason if decision else _NOT_JUDGED.get(said, said)
    return state, "" if reason in ("None", "") or state != PENDING else reason


def _rank(end: RankStatus, state: str) -> Rank:
    code = end.exit_code
    if end.ended is None:
        # Slurm ended it together with the job.
        return Rank(end.rank, RUNNING if state == RUNNING else STOPPED, None, end.host)
    state = SUCCEEDED if code == ExitCode.DONE else FAILED
    return Rank(end.rank, state, code, end.host, how_it_ended(code) if code else "")


def _run(command: list[str], text: str = "") -> str:
    try:
        done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise UsageError(f"{command[0]} not found; is this machine a Slurm login node?") from None
    if done.returncode:
        words = (done.stderr or done.stdout).strip().splitlines()
        raise UsageError(f"{command[0]}: {words[-1] if words else done.returncode}")
    return done.stdout
