"""Several workers as processes of this machine, restarted together as a cluster would.

    python -m trainer train --local_workers=2 ...

Each worker is the same command with its own TF_CONFIG, on free ports of localhost. When one ends
with an error, the others cannot continue: they exit by themselves (76) or are killed, and all are
started again, on other ports, from the last saved state, as the restart policy decides.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from typing import IO

from preprocess.shell.cli import say
from preprocess.shell.exit_codes import ON_SIGNAL
from preprocess.shell.process import dying_with_parent
from preprocess.shell.stop_flag import StopFlag
from trainer.workers.supervisor.memory_kills import MemoryKills
from trainer.workers.supervisor.processes import (
    Patience,
    free_ports,
    new_start,
    signal_groups,
    wait_for_all,
)
from trainer.workers.supervisor.restart_policy import (
    FAIL,
    FINISHED,
    RETRY,
    decide,
    follows,
    how_it_ended,
)

PATIENCE = Patience(leave=60.0, final=10.0, stop=120.0)


def run_local_group(command: Sequence[str], workers: int, max_restarts: int) -> int:
    """Runs a command as a group of workers until it is done.

    Worker 0 has this process's stdout; everything else goes to stderr, prefixed with the rank.

    Args:
      command: of one worker.
      workers: their number.
      max_restarts: the number of counted restarts that are allowed.

    Returns:
      The exit code: of the decision that ended the run, or 75 and 130 after SIGTERM and Ctrl-C.
    """
    counted = 0
    with StopFlag() as stop:
        while True:
            kills = MemoryKills()
            codes = _attempt(command, workers, stop)
            decision = decide(codes, counted, max_restarts)
            if decision.action == FINISHED or follows(decision.exit_code) == FAIL:
                return decision.exit_code
            if stop.received:
                return ON_SIGNAL[stop.received]
            if decision.action == FAIL:
                say(f"run failed: {decision.reason}{kills.note()}")
                return decision.exit_code
            counted += decision.action == RETRY
            budget = f"{counted} of {max_restarts}" if decision.action == RETRY else "not counted"
            reasons = ", ".join(f"worker {rank} {how_it_ended(c)}" for rank, c in codes.items())
            why = f"{reasons or decision.reason}{kills.note()}"
            say(f"restarting all workers ({budget}): {why}")


def _attempt(command: Sequence[str], workers: int, stop: StopFlag) -> dict[int, int]:
    """Starts all workers and waits until all have ended; see `wait_for_all`."""
    with _started(command, workers) as processes:
        return wait_for_all(processes, stop, PATIENCE)


@contextlib.contextmanager
def _started(command: Sequence[str], workers: int) -> Iterator[list[subprocess.Popen[str]]]:
    """The processes of a group; on exit all have ended and their output has been forwarded."""
    addresses = [f"localhost:{port}" for port in free_ports(workers)]
    shared = new_start()
    processes: list[subprocess.Popen[str]] = []
    threads: list[threading.Thread] = []
    try:
        for rank in range(workers):
            task = {"type": "worker", "index": rank}
            config = json.dumps({"cluster": {"worker": addresses}, "task": task})
            process = subprocess.Popen(
                command,
                env={**os.environ, **shared, "TF_CONFIG": config},
                stdin=subprocess.DEVNULL,
                stdout=None if rank == 0 else subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                errors="replace",
                # With SIGTERM, so that it saves.
                preexec_fn=dying_with_parent(signal.SIGTERM),
                start_new_session=True,  # only this process gets Ctrl-C, and forwards it
            )
            processes.append(process)
            for pipe in (process.stdout, process.stderr):
                if pipe is not None:
                    threads.append(threading.Thread(target=_prefix, args=(pipe, rank)))
                    threads[-1].start()
        yield processes
    finally:
        signal_groups(processes, signal.SIGKILL)
        for process in processes:
            process.wait()
        for thread in threads:
            thread.join()


def _prefix(pipe: IO[str], rank: int) -> None:
    """Copies a worker's lines to stderr."""
    with pipe:
        for line in pipe:
            sys.stderr.write(f"[{rank}] {line}" if line.endswith("\n") else f"[{rank}] {line}\n")
            sys.stderr.flush()
