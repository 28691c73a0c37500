"""One rank of a life: sets its place in the cluster, runs the worker, notes how it ended.

    python -m launch.task --lives=FOLDER --life=N --cluster=HOST:PORT,... --rank=R -- COMMAND

A wrapper rather than the worker itself, because somebody has to say how the worker ended, also
where a signal killed it.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence

from launch.exit_codes import RESTART
from launch.lives import Lives, RankEnd, shell_code
from launch.render.pod import tf_config

_PR_SET_PDEATHSIG = 1  # of prctl(2)


def run(lives: Lives, life: int, addresses: Sequence[str], rank: int, command: list[str]) -> int:
    """Runs a worker to its end and returns its exit code, as a shell gives it."""
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    environment.pop("TF_CONFIG", None)
    if len(addresses) > 1:
        environment["TF_CONFIG"] = tf_config(list(addresses), str(rank))
    # The signal that ends a run reaches the whole step, the worker among it; this process
    # stays to note what came of it.
    signal.signal(signal.SIGTERM, lambda number, frame: None)
    log = lives.log(life, rank)
    log.parent.mkdir(parents=True, exist_ok=True)
    started = time.time()
    with open(log, "ab") as output:
        worker = subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            preexec_fn=ending_with_parent(),
        )
    host = socket.gethostname()
    lives.write_rank(life, RankEnd(rank, worker.pid, started, None, None, host))
    code = worker.wait()
    lives.write_rank(life, RankEnd(rank, worker.pid, started, time.time(), code, host))
    return shell_code(code)


def ending_with_parent() -> Callable[[], None] | None:
    """For Popen's preexec_fn: the child is killed when this process dies, however it does.

    Killed rather than told to save: who looks after the run next may start it again at once.
    """
    if sys.platform != "linux":
        return None
    parent, prctl = os.getpid(), ctypes.CDLL(None).prctl

    def bind() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it died before the line above
            os._exit(RESTART)

    return bind


def main() -> None:
    """Parses the command line and ends as the worker ended."""
    parser = argparse.ArgumentParser(prog="python -m launch.task")
    parser.add_argument("--lives", required=True)
    parser.add_argument("--life", type=int, required=True)
    parser.add_argument("--cluster", required=True)
    parser.add_argument("--rank", type=int, required=True)
    parser.add_argument("command", nargs="+")
    given = parser.parse_args()
    addresses = given.cluster.split(",")
    sys.exit(run(Lives(given.lives), given.life, addresses, given.rank, given.command))


if __name__ == "__main__":
    main()
