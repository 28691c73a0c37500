"""What stays with a worker to record how it ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from launch.supervisor.attempts import Attempts
from launch.supervisor.task import parser
from tests.launch.started_runs import until
from tests.trainer import datasets

# Says that it is there, and what it does at SIGTERM.
STUBBORN = "trap 'echo told' TERM; echo there; while :; do sleep 0.05; done"
OBEDIENT = "trap 'exit 75' TERM; echo there; while :; do sleep 0.05; done"
RUN = """
import sys
from launch.supervisor.attempts import Attempts
from launch.supervisor.task import run
sys.exit(run(Attempts(sys.argv[1]), 0, [""], 0, ["bash", "-c", sys.argv[2]], float(sys.argv[3])))
"""


@pytest.mark.parametrize(("worker", "grace", "code"), [(STUBBORN, "3", 137), (OBEDIENT, "600", 75)])
def test_a_worker_has_the_grace_to_end_and_is_killed_after_it(tmp_path, worker, grace, code):
    attempts = Attempts(tmp_path)
    environment = {**os.environ, "PYTHONPATH": str(datasets.REPOSITORY)}
    task = subprocess.Popen(
        [sys.executable, "-c", RUN, str(tmp_path), worker, grace], env=environment
    )
    try:
        until("the worker is there", lambda: "there" in _text(attempts.log(0, 0)))
        until("its process is recorded", lambda: len(attempts.ranks(0)) == 1)
        os.kill(attempts.ranks(0)[0].pid, signal.SIGTERM)
        task.send_signal(signal.SIGTERM)
        assert task.wait(60) == code
    finally:
        task.kill()
    [end] = attempts.ranks(0)
    assert end.ended is not None and end.exit_code == (-signal.SIGKILL if code == 137 else code)
    assert ("told" in _text(attempts.log(0, 0))) == (worker == STUBBORN)


def test_a_supervisor_of_an_earlier_version_starts_its_workers_still():
    words = ["--lives=/runs/lives", "--life=2", "--cluster=a:1", "--rank=0", "--", "python"]
    given = parser().parse_args(words)
    assert (given.attempts, given.attempt, given.command) == ("/runs/lives", 2, ["python"])


def _text(log: Path) -> str:
    return log.read_text(encoding="utf-8") if log.exists() else ""
