r"""One rank of an attempt: sets up its environment, runs the worker, records how it ended.

    python -m launch.supervisor.task --attempts=FOLDER --attempt=N --cluster=HOST:PORT,... \
        --rank=R -- COMMAND

A wrapper rather than the worker itself, because somebody has to record how the worker ended, even
if a signal killed it.
"""

from __future__ import annotations

import argparse
import math
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from types import FrameType

from launch.render.pod import tf_config
from launch.supervisor.attempts import Attempts, RankStatus
from preprocess.shell.process import dying_with_parent
from trainer.workers.supervisor.restart_policy import shell_code


def run(
    attempts: Attempts,
    attempt: int,
    addresses: Sequence[str],
    rank: int,
    command: list[str],
    grace: float = math.inf,
) -> int:
    """Runs a worker to its end and returns its exit code, as a shell reports it.

    Args:
      attempts: where the output and the exit code go.
      attempt: its number.
      addresses: HOST:PORT of every rank; one if it trains alone.
      rank: of this worker.
      command: what it runs.
      grace: seconds from SIGTERM until it is killed; infinite where others see to that.
    """
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    environment.pop("TF_CONFIG", None)
    if len(addresses) > 1:
        environment["TF_CONFIG"] = tf_config(list(addresses), str(rank))
    _stay(workers := [], grace)
    log = attempts.log(attempt, rank)
    log.parent.mkdir(parents=True, exist_ok=True)
    started = time.time()
    with open(log, "ab") as output:
        worker = subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            preexec_fn=dying_with_parent(),
        )
    workers.append(worker)
    host = socket.gethostname()
    attempts.write_rank(attempt, RankStatus(rank, worker.pid, started, None, None, host))
    code = worker.wait()
    attempts.write_rank(attempt, RankStatus(rank, worker.pid, started, time.time(), code, host))
    return shell_code(code)


def _stay(workers: list[subprocess.Popen[bytes]], grace: float) -> None:
    """SIGTERM, which ends a run, reaches the whole step, including the worker; this process stays
    to record the result, and kills a worker that outlives the grace.
    """

    def begin(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        if grace < math.inf:
            signal.setitimer(signal.ITIMER_REAL, grace)

    def kill(number: int, frame: FrameType | None) -> None:
        for worker in workers:
            worker.kill()

    signal.signal(signal.SIGALRM, kill)
    signal.signal(signal.SIGTERM, begin)


def parser() -> argparse.ArgumentParser:
    """The flags of the command."""
    parser = argparse.ArgumentParser(prog="python -m launch.supervisor.task")
    # The old names are those of a supervisor that an earlier version started.
    parser.add_argument("--attempts", "--lives", required=True)
    parser.add_argument("--attempt", "--life", type=int, required=True)
    parser.add_argument("--cluster", required=True)
    parser.add_argument("--rank", type=int, required=True)
    parser.add_argument("command", nargs="+")
    return parser


def main() -> None:
    """Parses the command line and exits with the worker's exit code."""
    given = parser().parse_args()
    addresses = given.cluster.split(",")
    sys.exit(run(Attempts(given.attempts), given.attempt, addresses, given.rank, given.command))


if __name__ == "__main__":
    main()
