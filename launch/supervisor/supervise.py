"""The supervisor of a local run (`python -m launch.supervisor.supervise NAME`).

The workers of an attempt start together. When one ends, the others have the grace period to end by
themselves, as in a cluster; then they are killed.
"""

from __future__ import annotations

import math
import os
import subprocess
import sys
import time

from launch.render.follower import advice, keeper
from launch.render.objects import with_beam
from launch.runs.orders import ordered
from launch.runs.records import Record, read_record
from launch.runs.status import RUNNING
from launch.supervisor.attempts import Attempts
from launch.supervisor.follower_process import with_follower
from launch.supervisor.lock import supervising
from preprocess.shell.errors import UserError
from preprocess.shell.process import dying_with_parent
from preprocess.shell.stop_flag import StopFlag
from trainer.workers.supervisor.memory_kills import MemoryKills
from trainer.workers.supervisor.processes import Patience, free_ports, new_start, wait_for_all
from trainer.workers.supervisor.restart_policy import FAIL, FINISHED


def supervise(record: Record) -> None:
    """Runs attempts until the run is done, failed, or stopped by a signal."""
    attempts = Attempts(record.attempts_folder)
    command = keeper(record.spec, sys.executable, [f"--attempts={attempts.folder}"])
    environment = {**os.environ, **dict(record.spec.env)}
    with (
        supervising(record),
        StopFlag() as stop,
        with_follower(command, record.directory, environment) as keep_follower,
    ):
        while not stop.received and ordered(record) == RUNNING:
            number = attempts.next()
            keep_follower()
            kills = MemoryKills()
            run_attempt(record, attempts, number, stop)
            ranks = range(record.spec.workers)
            spec = record.spec
            together, note = not spec.independent, kills.note()
            decision = attempts.conclude(number, ranks, spec.max_restarts, together, note)
            print(f"attempt {number}: {decision.reason}: {decision.action}", flush=True)
            if decision.action in (FINISHED, FAIL):
                return
            if time.time() > record.submitted + record.spec.deadline:
                print("the deadline has passed", flush=True)
                return


def run_attempt(record: Record, attempts: Attempts, number: int, stop: StopFlag) -> None:
    """Starts all workers and returns when all have ended."""
    attempts.attempt(number).mkdir(parents=True)
    # Workers that do not train together get no TF_CONFIG.
    size = record.spec.workers if record.spec.together else 1
    cluster = ",".join(f"localhost:{port}" for port in free_ports(size))
    shared = new_start()
    tasks = [
        subprocess.Popen(
            [
                *(sys.executable, "-m", "launch.supervisor.task", f"--attempts={attempts.folder}"),
                *(f"--attempt={number}", f"--cluster={cluster}", f"--rank={rank}", "--"),
                *(sys.executable, *with_beam(record.spec).command[1:]),
            ],
            cwd=record.directory,
            env={
                **os.environ,
                **advice(record.spec),
                **dict(record.spec.env),
                **shared,
                **_gpus(record, rank),
            },
            start_new_session=True,
            preexec_fn=dying_with_parent(),
        )
        for rank in range(record.spec.workers)
    ]
    grace = math.inf if record.spec.independent else record.spec.grace
    deadline = record.submitted + record.spec.deadline
    wait_for_all(tasks, stop, Patience(grace, grace, record.spec.grace, deadline))


def _gpus(record: Record, rank: int) -> dict[str, str]:
    """Divides this machine's GPUs among its workers by rank."""
    gpu = record.spec.gpu
    if gpu is None:
        return {}
    mine = range(rank * gpu.count, (rank + 1) * gpu.count)
    return {"CUDA_VISIBLE_DEVICES": ",".join(map(str, mine))}


def main() -> None:
    """Supervises the named run."""
    try:
        supervise(read_record(sys.argv[1]))
    except UserError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
