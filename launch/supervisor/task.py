r"""One rank of an attempt: sets up its environment, runs the worker, records how it ended.

    python -m launch.supervisor.task --lives=FOLDER --life=N --cluster=HOST:PORT,... --rank=R \
        -- COMMAND

A wrapper rather than the worker itself, because somebody has to record how the worker ended, even
if a signal killed it.
"""

from __future__ import annotations

import argparse
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence

from launch.render.pod import tf_config
from launch.supervisor.attempts import Attempts, RankStatus
from preprocess.shell.process import dying_with_parent
from trainer.workers.supervisor.restart_policy import shell_code


def run(
    attempts: Attempts, attempt: int, addresses: Sequence[str], rank: int, command: list[str]
) -> int:
    """Runs a worker to its end and returns its exit code, as a shell reports it."""
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    environment.pop("TF_CONFIG", None)
    if len(addresses) > 1:
        environment["TF_CONFIG"] = tf_config(list(addresses), str(rank))
    # The signal that ends a run reaches the whole step, including the worker; this process stays to
    # record the result.
    signal.signal(signal.SIGTERM, lambda number, frame: None)
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
    host = socket.gethostname()
    attempts.write_rank(attempt, RankStatus(rank, worker.pid, started, None, None, host))
    code = worker.wait()
    attempts.write_rank(attempt, RankStatus(rank, worker.pid, started, time.time(), code, host))
    return shell_code(code)


def main() -> None:
    """Parses the command line and exits with the worker's exit code."""
    parser = argparse.ArgumentParser(prog="python -m launch.supervisor.task")
    parser.add_argument("--lives", required=True)
    parser.add_argument("--life", type=int, required=True)
    parser.add_argument("--cluster", required=True)
    parser.add_argument("--rank", type=int, required=True)
    parser.add_argument("command", nargs="+")
    given = parser.parse_args()
    addresses = given.cluster.split(",")
    sys.exit(run(Attempts(given.lives), given.life, addresses, given.rank, given.command))


if __name__ == "__main__":
    main()
