"""The supervisor of a local run (`python -m launch.supervise NAME`): life after life.

Workers of one life start together. When one ends, the others have the grace period to end by
themselves, as those of a cluster have; then they are ended.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

from launch.backends.base import RUNNING
from launch.backends.local import supervising, worker_command
from launch.lives import FAIL, FINISHED, Lives
from launch.orders import ordered
from launch.records import Record, read_record
from launch.spec import Spec
from launch.task import ending_with_parent
from trainer.errors import UserError
from trainer.gang import free_ports

POLL_SECONDS = 0.05


def supervise(record: Record) -> None:
    """Runs lives until the run is done, failed, or told to end."""
    lives = Lives(record.lives_folder)
    told = _Told()
    with supervising(record), told.listening():
        while not told.to_end and ordered(record) == RUNNING:
            number = lives.next()
            run_life(record, lives, number, told)
            ranks = range(record.spec.workers)
            spec = record.spec
            verdict = lives.conclude(number, ranks, spec.max_restarts, _together(spec))
            print(f"life {number}: {verdict.reason}: {verdict.action}", flush=True)
            if verdict.action in (FINISHED, FAIL):
                return
            if time.time() > record.submitted + record.spec.deadline:
                print("the deadline has passed", flush=True)
                return


def run_life(record: Record, lives: Lives, number: int, told: _Told) -> None:
    """Starts all workers and returns when all have ended."""
    lives.life(number).mkdir(parents=True)
    # Who does not train together gets no TF_CONFIG.
    size = record.spec.workers if record.spec.gang else 1
    cluster = ",".join(f"localhost:{port}" for port in free_ports(size))
    tasks = [
        subprocess.Popen(
            [
                *(sys.executable, "-m", "launch.task", f"--lives={lives.folder}"),
                *(f"--life={number}", f"--cluster={cluster}", f"--rank={rank}", "--"),
                *(sys.executable, *worker_command(record.spec)[1:]),
            ],
            cwd=record.directory,
            env={**os.environ, **dict(record.spec.env), **_gpus(record, rank)},
            start_new_session=True,
            preexec_fn=ending_with_parent(),
        )
        for rank in range(record.spec.workers)
    ]
    deadline = record.submitted + record.spec.deadline
    end: float | None = None  # when who still runs is killed
    signalled = False
    while any(task.poll() is None for task in tasks):
        now = time.time()
        if (told.to_end or now > deadline) and not signalled:
            _signal(tasks, signal.SIGTERM)
            signalled, end = True, now + record.spec.grace
        one_ended = any(task.poll() is not None for task in tasks)
        if end is None and one_ended and _together(record.spec):
            end = now + record.spec.grace
        if end is not None and now > end:
            _signal(tasks, signal.SIGKILL)
        time.sleep(POLL_SECONDS)


def _together(spec: Spec) -> bool:
    """Whether the end of one worker is that of all."""
    return spec.gang or spec.workers == 1


class _Told:
    """Whether this process was told to end."""

    def __init__(self) -> None:
        self.to_end = False

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        def on_signal(number: int, frame: object) -> None:
            del number, frame
            self.to_end = True

        before = {s: signal.signal(s, on_signal) for s in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def _gpus(record: Record, rank: int) -> dict[str, str]:
    """Workers on one machine divide its GPUs by their ranks."""
    gpu = record.spec.gpu
    if gpu is None:
        return {}
    mine = range(rank * gpu.count, (rank + 1) * gpu.count)
    return {"CUDA_VISIBLE_DEVICES": ",".join(map(str, mine))}


def _signal(tasks: list[subprocess.Popen[bytes]], number: signal.Signals) -> None:
    for task in tasks:
        if task.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(task.pid, number)


def main() -> None:
    """Supervises the run that is named."""
    try:
        supervise(read_record(sys.argv[1]))
    except UserError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
