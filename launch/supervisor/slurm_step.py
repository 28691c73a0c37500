r"""Runs inside a Slurm job: in every task, and at the end of an attempt.

    srun python -m launch.supervisor.slurm_step task --attempts=FOLDER --first_attempt=N \
        --grace=SECONDS -- COMMAND
    python -m launch.supervisor.slurm_step end --attempts=FOLDER --first_attempt=N \
        --max_restarts=N --until=TIME

The first one in every task, the second one in the batch script after them. Ranks, hosts and the
number of the attempt come from Slurm's own variables. A job of an array is a separate worker: its
rank is its index in the array, and it has its own folder of attempts.
"""

from __future__ import annotations

import argparse
import math
import os
import re
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from launch import ports
from launch.supervisor.attempts import Attempts
from launch.supervisor.task import run
from trainer.workers.supervisor.restart_policy import FAIL, FINISHED

# Several tasks may share a host, and several jobs too: each job gets its own ports, all below those
# that Linux assigns automatically (32768 and more).
PORTS_OF_JOBS = 160
PORTS_A_JOB = 64


def worker_folder(folder: str | os.PathLike[str], worker: int) -> Path:
    """The folder of a worker's attempts in an array."""
    return Path(folder) / f"worker-{worker:05d}"


def tasks_per_node(text: str) -> list[int]:
    """[2, 2, 1] of Slurm's `2(x2),1`; raises ValueError."""
    counts: list[int] = []
    for part in text.split(","):
        match = re.fullmatch(r"(\d+)(?:\(x(\d+)\))?", part)
        if not match:
            raise ValueError(f"SLURM_STEP_TASKS_PER_NODE={text}")
        counts += [int(match[1])] * int(match[2] or 1)
    return counts


def addresses(hosts: list[str], tasks: list[int], job: int) -> list[str]:
    """HOST:PORT of every rank; ranks fill one host after another (`--distribution=block`)."""
    base = ports.GRPC + 20_000 + job % PORTS_OF_JOBS * PORTS_A_JOB
    return [
        f"{host}:{base + local}"
        for host, count in zip(hosts, tasks, strict=True)
        for local in range(count)
    ]


def attempt_number(first: int, environment: Mapping[str, str]) -> int:
    """The number of this attempt of the run: Slurm counts the restarts of a job."""
    return first + int(environment.get("SLURM_RESTART_COUNT", "0"))


def array_place(environment: Mapping[str, str]) -> int | None:
    """The index in the array; None outside of arrays."""
    place = environment.get("SLURM_ARRAY_TASK_ID")
    return None if place is None else int(place)


def job_name(environment: Mapping[str, str]) -> str:
    """The job id for scontrol: an array's own number would mean all of its jobs."""
    if array_place(environment) is None:
        return environment["SLURM_JOB_ID"]
    return f"{environment['SLURM_ARRAY_JOB_ID']}_{environment['SLURM_ARRAY_TASK_ID']}"


def task(folder: str, first_attempt: int, grace: float, command: list[str]) -> int:
    """Runs one task of the step; it ends within the grace after SIGTERM."""
    attempt, place = attempt_number(first_attempt, os.environ), array_place(os.environ)
    if place is not None:
        return run(Attempts(worker_folder(folder, place)), attempt, [""], place, command, grace)
    hosts = subprocess.run(
        ["scontrol", "show", "hostnames", os.environ["SLURM_STEP_NODELIST"]],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split()
    tasks = tasks_per_node(os.environ["SLURM_STEP_TASKS_PER_NODE"])
    cluster = addresses(hosts, tasks, int(os.environ["SLURM_JOB_ID"]))
    rank = int(os.environ["SLURM_PROCID"])
    return run(Attempts(folder), attempt, cluster, rank, command, grace)


def end(folder: str, first_attempt: int, max_restarts: int, until: float) -> int:
    """Decides what follows the ended attempt, and requeues the job if the run continues."""
    attempt, place = attempt_number(first_attempt, os.environ), array_place(os.environ)
    if place is None:
        ranks = range(int(os.environ["SLURM_NTASKS"]))
        decision = Attempts(folder).conclude(attempt, ranks, max_restarts)
    else:
        attempts = Attempts(worker_folder(folder, place))
        decision = attempts.conclude(attempt, [place], max_restarts, together=False)
    print(f"attempt {attempt}: {decision.reason}: {decision.action}", flush=True)
    if decision.action in (FINISHED, FAIL):
        return decision.exit_code
    if time.time() > until:
        print("the deadline has passed: not requeued", flush=True)
        return decision.exit_code
    subprocess.run(["scontrol", "requeue", job_name(os.environ)], check=True)
    return decision.exit_code


def parser() -> argparse.ArgumentParser:
    """Of `task` and `end`."""
    parser = argparse.ArgumentParser(prog="python -m launch.supervisor.slurm_step")
    kinds = parser.add_subparsers(dest="kind", required=True)
    for kind in ("task", "end"):
        of_kind = kinds.add_parser(kind)
        # The old names, and no grace, are in the scripts of jobs that an earlier version submitted.
        of_kind.add_argument("--attempts", "--lives", required=True)
        of_kind.add_argument("--first_attempt", "--first_life", type=int, required=True)
        if kind == "task":
            of_kind.add_argument("--grace", type=float, default=math.inf)
            of_kind.add_argument("command", nargs="+")
        else:
            of_kind.add_argument("--max_restarts", type=int, required=True)
            of_kind.add_argument("--until", type=float, required=True)
    return parser


def main() -> None:
    """`task` or `end`."""
    given = parser().parse_args()
    if given.kind == "task":
        sys.exit(task(given.attempts, given.first_attempt, given.grace, given.command))
    sys.exit(end(given.attempts, given.first_attempt, given.max_restarts, given.until))


if __name__ == "__main__":
    main()
