"""What runs inside a Slurm job: every task of it, and the end of a life.

    srun python -m launch.slurm_step task LIVES -- COMMAND      in every task
    python -m launch.slurm_step end LIVES MAX_RESTARTS UNTIL    in the batch script, after srun

Ranks, hosts and the number of the life come from Slurm's own variables.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Mapping

from launch import ports
from launch.lives import FAIL, FINISHED, Lives
from launch.task import run

# Several tasks may share a host, and jobs may too: each job gets ports of its own.
PORTS_OF_JOBS = 400
PORTS_A_JOB = 64


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


def life_number(environment: Mapping[str, str]) -> int:
    """Which life of the job this is: Slurm counts its restarts."""
    return int(environment.get("SLURM_RESTART_COUNT", "0"))


def task(folder: str, command: list[str]) -> int:
    """One task of the step."""
    hosts = subprocess.run(
        ["scontrol", "show", "hostnames", os.environ["SLURM_STEP_NODELIST"]],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split()
    tasks = tasks_per_node(os.environ["SLURM_STEP_TASKS_PER_NODE"])
    cluster = addresses(hosts, tasks, int(os.environ["SLURM_JOB_ID"]))
    rank = int(os.environ["SLURM_PROCID"])
    return run(Lives(folder), life_number(os.environ), cluster, rank, command)


def end(folder: str, max_restarts: int, until: float) -> int:
    """Judges the life that ended and requeues the job where it is to go on."""
    lives, life = Lives(folder), life_number(os.environ)
    verdict = lives.conclude(life, range(int(os.environ["SLURM_NTASKS"])), max_restarts)
    print(f"life {life}: {verdict.reason}: {verdict.action}", flush=True)
    if verdict.action in (FINISHED, FAIL):
        return verdict.exit_code
    if time.time() > until:
        print("the deadline has passed: not requeued", flush=True)
        return verdict.exit_code
    subprocess.run(["scontrol", "requeue", os.environ["SLURM_JOB_ID"]], check=True)
    return verdict.exit_code


def main() -> None:
    """`task` or `end`."""
    kind, folder, *rest = sys.argv[1:]
    if kind == "task":
        sys.exit(task(folder, rest[1:]))  # rest[0] is `--`
    sys.exit(end(folder, int(rest[0]), float(rest[1])))


if __name__ == "__main__":
    main()
