"""Who a process is, and that children do not outlive their parent."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from preprocess.shell.process import machine, start_time

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="of Linux's /proc and prctl")

PARENT = """
import os, signal, subprocess, sys
from preprocess.shell.process import dying_with_parent
child = subprocess.Popen(["sleep", "60"], preexec_fn=dying_with_parent())
print(child.pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_process_is_known_by_its_machine_and_its_start():
    boot, _, namespace = machine().partition(" ")
    assert len(boot) == 36 and namespace.startswith("pid:")
    mine, parents = start_time(os.getpid()), start_time(os.getppid())
    assert mine is not None and parents is not None and mine >= parents


def test_a_process_that_has_ended_has_no_start_even_before_it_is_waited_for():
    with subprocess.Popen(["true"]) as process:
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert start_time(process.pid) is None
    assert start_time(process.pid) is None


def test_a_child_is_killed_when_its_parent_is():
    done = subprocess.run([sys.executable, "-c", PARENT], capture_output=True, text=True)
    child = int(done.stdout)
    deadline = time.monotonic() + 30
    while start_time(child) is not None:
        assert time.monotonic() < deadline
        time.sleep(0.01)
