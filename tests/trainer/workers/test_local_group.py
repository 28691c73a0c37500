"""A group of local workers, with small programs in place of the trainer."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from preprocess.shell.exit_codes import FINAL
from tests.trainer import datasets

DEADLINE = 30.0
# RANK and LIFE are what each program may go by; lives are counted in files of `folder`.
PRELUDE = """
import json, os, pathlib, signal, sys, time
task = json.loads(os.environ["TF_CONFIG"])["task"]
RANK = task["index"]
folder = pathlib.Path(sys.argv[1])
LIFE = len(list(folder.glob(f"life-{RANK}-*")))
(folder / f"life-{RANK}-{LIFE}").write_text(json.dumps([os.getpid(), os.environ["TF_CONFIG"]]))
def lives(rank):
    return len(list(folder.glob(f"life-{rank}-*")))
def barrier():
    while lives(1 - RANK) <= LIFE:
        time.sleep(0.01)
def wait():
    time.sleep(60)
"""
GROUP = """
import sys
from trainer.workers.supervisor import local_group
from trainer.workers.supervisor.processes import Patience
local_group.PATIENCE = Patience(leave=1.0, final=10.0, stop=120.0)
command = [sys.executable, *sys.argv[1:3]]
sys.exit(local_group.run_local_group(command, 2, int(sys.argv[3])))
"""


def start(tmp_path, program, max_restarts=3):
    """A process that runs two workers of a program."""
    (tmp_path / "worker.py").write_text(PRELUDE + program)
    arguments = [str(tmp_path / "worker.py"), str(tmp_path), str(max_restarts)]
    return subprocess.Popen(
        [sys.executable, "-c", GROUP, *arguments],
        cwd=datasets.REPOSITORY,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(tmp_path, program, max_restarts=3):
    """(exit code, stdout, stderr) of a group, and how many lives each worker had."""
    process = start(tmp_path, program, max_restarts)
    out, said = process.communicate(timeout=DEADLINE)
    return process.returncode, out, said, [len(lives(tmp_path, rank)) for rank in range(2)]


def lives(tmp_path, rank):
    """(process id, TF_CONFIG) of each life of a worker that was written whole."""
    files = sorted(Path(tmp_path).glob(f"life-{rank}-*"))
    return [json.loads(file.read_text()) for file in files if file.stat().st_size]


def until(condition):
    deadline = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def gone(pid):
    """Whether a process has ended; one that nobody waited for yet has."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except OSError:
        return True


def test_stdout_is_worker_0s_alone_and_all_else_goes_to_stderr_by_rank(tmp_path):
    program = "print(f'result {RANK}'); print(f'talk {RANK}', file=sys.stderr)"
    code, out, said, counts = run(tmp_path, program)
    assert (code, out, counts) == (0, "result 0\n", [1, 1])
    assert sorted(said.splitlines()) == ["[0] talk 0", "[1] result 1", "[1] talk 1"]


def test_each_life_has_free_ports_of_its_own_and_the_same_ones_for_all(tmp_path):
    run(tmp_path, "barrier(); sys.exit(75 if LIFE == 0 else 0)")
    seen = set()
    for life in range(2):
        configs = [json.loads(lives(tmp_path, rank)[life][1]) for rank in range(2)]
        assert configs[0]["cluster"] == configs[1]["cluster"]
        addresses = configs[0]["cluster"]["worker"]
        assert len(set(addresses)) == 2 and all(a.startswith("localhost:") for a in addresses)
        seen.update(addresses)
    assert len(seen) > 2


@pytest.mark.parametrize(
    ("end", "words"),
    [
        ("sys.exit(1)", "ended with 1"),
        ("os.kill(os.getpid(), signal.SIGKILL)", "was killed by SIGKILL"),
    ],
)
def test_a_worker_that_may_be_restarted_restarts_all(tmp_path, end, words):
    """Worker 1 ends in its first life; worker 0 waits for it in vain and is ended."""
    program = f"barrier()\nif LIFE == 0:\n  if RANK: {end}\n  wait()"
    code, _, said, counts = run(tmp_path, program)
    assert (code, counts) == (0, [2, 2])
    assert "restarting all workers (1 of 3)" in said and f"worker 1 {words}" in said


@pytest.mark.parametrize(
    "end", ["sys.exit(75)", "sys.exit(76)", "os.kill(os.getpid(), signal.SIGTERM)"]
)
def test_what_is_nobodys_fault_is_restarted_without_any_budget(tmp_path, end):
    program = f"barrier()\nif LIFE < 2:\n  if RANK: {end}\n  sys.exit(76)"
    code, _, said, counts = run(tmp_path, program, max_restarts=0)
    assert (code, counts) == (0, [3, 3])
    assert said.count("restarting all workers (not counted)") == 2


@pytest.mark.parametrize("final", FINAL)
def test_a_code_that_is_never_retried_ends_all_at_once(tmp_path, final):
    """The other one notices that it lost a peer."""
    code, _, _, counts = run(tmp_path, f"barrier(); sys.exit({final} if RANK else 76)")
    assert (code, counts) == (final, [1, 1])


def test_beyond_the_budget_the_fault_is_the_exit_code(tmp_path):
    """Two restarts: three lives. The survivor's 76 is not what it was about."""
    code, _, said, counts = run(tmp_path, "barrier(); sys.exit(3 if RANK else 76)", max_restarts=2)
    assert (code, counts) == (3, [3, 3])
    assert "run failed: rank 1 ended with 3, after 2 restarts" in said


def test_worker_0_being_done_is_the_end(tmp_path):
    """Worker 1 hangs in its own end: it is not waited for longer than for a last save."""
    code, _, _, counts = run(tmp_path, "barrier()\nif RANK: wait()")
    assert (code, counts) == (0, [1, 1])


SAVES = """
def stop(number, frame):
    (folder / f"saved-{RANK}").touch()
    sys.exit(75)
signal.signal(signal.SIGTERM, stop)
(folder / f"ready-{RANK}").touch()
wait()
"""


def all_ready(tmp_path):
    return len(list(tmp_path.glob("ready-*"))) == 2


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 75), (signal.SIGHUP, 75), (signal.SIGINT, 130)]
)
def test_a_signal_reaches_all_workers_and_nothing_starts_again(tmp_path, number, code):
    process = start(tmp_path, SAVES)
    until(lambda: all_ready(tmp_path))
    process.send_signal(number)
    process.communicate(timeout=DEADLINE)
    assert process.returncode == code
    assert len(list(tmp_path.glob("saved-*"))) == 2
    assert [len(lives(tmp_path, rank)) for rank in range(2)] == [1, 1]


def test_a_second_signal_ends_workers_that_do_not_listen(tmp_path):
    deaf = "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n(folder / f'ready-{RANK}').touch()\n"
    process = start(tmp_path, deaf + "wait()")
    until(lambda: all_ready(tmp_path))
    process.send_signal(signal.SIGINT)
    line = process.stderr.readline()
    assert "stopping" in line
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=DEADLINE)
    assert process.returncode == 130
    assert all(gone(lives(tmp_path, rank)[0][0]) for rank in range(2))


def test_workers_end_when_the_parent_is_killed(tmp_path):
    process = start(tmp_path, SAVES)
    until(lambda: all_ready(tmp_path))
    os.kill(process.pid, signal.SIGKILL)
    process.communicate(timeout=DEADLINE)
    until(lambda: all(gone(lives(tmp_path, rank)[0][0]) for rank in range(2)))
    assert len(list(tmp_path.glob("saved-*"))) == 2
