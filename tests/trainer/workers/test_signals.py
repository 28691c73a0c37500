"""Stop signals: noted, obeyed at once where nothing is unsaved, and a second Ctrl-C."""

import os
import signal
import subprocess
import sys
import time

import pytest

from tests.trainer import datasets
from trainer.workers import signals
from trainer.workers.signals import StopSignals


@pytest.fixture
def left(monkeypatch):
    """Exit codes with which the process would have ended."""
    codes = []
    monkeypatch.setattr(signals, "leave", codes.append)
    return codes


def send(number, until):
    os.kill(os.getpid(), number)
    deadline = time.monotonic() + 10
    while not until():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_a_first_signal_is_noted_and_a_second_sigterm_changes_nothing(left):
    said = []
    with StopSignals(said.append) as stop:
        assert stop.received is None
        send(signal.SIGTERM, lambda: stop.received)
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.received == signal.SIGTERM
        assert stop.exit_code == os.EX_TEMPFAIL
    assert left == [] and said == []


def test_where_nothing_is_unsaved_a_signal_ends_the_process(left):
    said = []
    with StopSignals(said.append) as stop:
        stop.idle = True
        send(signal.SIGTERM, lambda: left)
    assert left == [os.EX_TEMPFAIL]
    assert said[0].startswith("SIGTERM: nothing is unsaved")


def test_a_closed_terminal_is_noted_as_sigterm_is(left):
    with StopSignals(lambda _: None) as stop:
        send(signal.SIGHUP, lambda: stop.received)
        assert (left, stop.exit_code) == ([], os.EX_TEMPFAIL)


def test_under_nohup_a_closed_terminal_stays_ignored(left):
    """Both while a run trains, and where it has nothing to save."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN), signal.getsignal(signal.SIGTERM)
    try:
        with StopSignals(lambda _: None) as stop:
            assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
            os.kill(os.getpid(), signal.SIGHUP)
            send(signal.SIGTERM, lambda: stop.received)
            assert stop.received == signal.SIGTERM
        signals.leave_on_sigterm(print)
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before[0])
        signal.signal(signal.SIGTERM, before[1])
    assert left == []


def test_before_anything_is_saved_a_closed_terminal_ends_with_75(left):
    before = signal.getsignal(signal.SIGHUP), signal.getsignal(signal.SIGTERM)
    said = []
    try:
        signals.leave_on_sigterm(said.append)
        send(signal.SIGHUP, lambda: left)
    finally:
        signal.signal(signal.SIGHUP, before[0])
        signal.signal(signal.SIGTERM, before[1])
    assert left == [os.EX_TEMPFAIL] and said[0].startswith("SIGHUP: nothing is unsaved")


def test_a_stdout_that_nobody_reads_does_not_keep_a_process_from_ending():
    code = """
import sys
from trainer.workers.signals import leave
sys.stdout = open(1, "w", closefd=False)  # buffered, whatever the environment says
print("in the buffer")
sys.stdin.read()
leave(75)
"""
    pipe = subprocess.PIPE
    process = subprocess.Popen(
        [sys.executable, "-c", code], cwd=datasets.REPOSITORY, stdin=pipe, stdout=pipe, stderr=pipe
    )
    process.stdout.close()
    process.stdin.close()
    assert process.wait(30) == 75
    with process.stderr as said:
        assert said.read() == b""


def test_a_signal_that_came_just_before_is_not_forgotten(left):
    said = []
    with StopSignals(said.append) as stop:
        send(signal.SIGTERM, lambda: stop.received)
        assert left == []
        stop.idle = True
    assert left == [os.EX_TEMPFAIL]
    assert said[0].startswith("SIGTERM: nothing is unsaved")


def test_a_second_ctrl_c_ends_the_process_and_the_first_does_not(left):
    with StopSignals(lambda _: None) as stop:
        send(signal.SIGINT, lambda: stop.received)
        assert (left, stop.exit_code) == ([], 130)
        send(signal.SIGINT, lambda: left)
    assert left == [130]


def test_the_signals_are_python_s_own_again_afterwards():
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with StopSignals(lambda _: None):
        assert signal.getsignal(signal.SIGTERM) != before[1]
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before
    assert signal.set_wakeup_fd(-1) == -1


def test_a_signal_in_the_middle_of_minutes_of_native_code_is_obeyed():
    """The key derivation would take hours; no Python of the main thread runs meanwhile."""
    code = (
        "import hashlib\n"
        "from preprocess.shell.cli import say\n"
        "from trainer.workers.signals import StopSignals\n"
        "with StopSignals(say) as stop:\n"
        "    stop.idle = True\n"
        "    print('ready', flush=True)\n"
        "    hashlib.pbkdf2_hmac('sha256', b'', b'', 2**31 - 1)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=datasets.REPOSITORY,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=30)
    finally:
        process.kill()
    assert process.returncode == os.EX_TEMPFAIL
    assert "the same command resumes" in said
