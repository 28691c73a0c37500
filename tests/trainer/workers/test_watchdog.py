"""A worker that gets nowhere is ended, one that works is not."""

import subprocess
import sys
import threading
import time

from preprocess.shell.exit_codes import ExitCode
from tests.trainer import datasets
from trainer.workers.watchdog import PATIENCE, Watchdog
from trainer.workers.worker_log import WorkerLog


class Bitten:
    """What a watchdog did, and when."""

    def __init__(self, seconds):
        self.said, self.codes = [], []
        self.event = threading.Event()
        self.dog = Watchdog(seconds, self.said.append, self.leave)

    def leave(self, code):
        self.codes.append(code)
        self.event.set()


def test_no_progress_ends_the_process_with_76_and_says_while_doing_what():
    bitten = Bitten(0.2)
    started = time.monotonic()
    with bitten.dog as dog:
        dog.alive("step 7")
        assert bitten.event.wait(10)
    assert time.monotonic() - started >= 0.2
    assert bitten.codes == [ExitCode.LOST_PEER]
    assert "no progress for 0.2 s while step 7" in bitten.said[0]


def test_progress_keeps_it_quiet():
    """0.6 s of steps, each far within the second that is allowed."""
    bitten = Bitten(1.0)
    with bitten.dog as dog:
        for step in range(30):
            dog.alive(f"step {step}")
            time.sleep(0.02)
    assert bitten.codes == []


def test_what_takes_longer_has_patience_times_as_long():
    """0.2 s a step, five times that to start: after 0.5 s nothing, later the end."""
    bitten = Bitten(0.2)
    started = time.monotonic()
    with bitten.dog as dog:
        dog.alive("tracing", long=True)
        assert bitten.event.wait(10)
    assert time.monotonic() - started >= 0.2 * PATIENCE
    assert "while tracing" in bitten.said[0]


# Holds Python's lock, which PyDLL does not release, for longer than anybody would wait.
STUCK = """
import ctypes, pathlib, sys
from trainer.workers.watchdog import Watchdog
from trainer.workers import watchdog
from trainer.workers.worker_log import WorkerLog
watchdog.SPARE_SECONDS = 0.2
with WorkerLog(pathlib.Path(sys.argv[1]), 0, print) as log, Watchdog(0.2, log.announce) as dog:
    dog.alive("step 1")
    def waiting_in_c():
        ctypes.PyDLL(None).sleep(60)
    waiting_in_c()
"""


def test_a_call_that_keeps_pythons_lock_is_ended_by_the_system(tmp_path):
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", STUCK, str(tmp_path)], cwd=datasets.REPOSITORY, check=False
    )
    assert done.returncode == ExitCode.LOST_PEER
    assert time.monotonic() - started < 30
    assert "in waiting_in_c" in (tmp_path / "worker-0.log").read_text()


def test_off_it_starts_no_thread():
    before = threading.active_count()
    with Bitten(0).dog as dog:
        dog.alive("step 1")
        assert threading.active_count() == before


def test_after_it_is_left_it_bites_no_more():
    bitten = Bitten(0.1)
    with bitten.dog as dog:
        dog.alive("step 1")  # and neither does the system: this process lives on
    assert not bitten.event.wait(0.5)


def test_a_log_holds_all_said_with_the_time_and_the_stacks(tmp_path):
    """Rank 1 speaks to people of itself only; a second life adds to the same file."""
    said = []
    for life in (1, 2):
        with WorkerLog(tmp_path / "logs", 1, said.append) as log:
            log.say(f"epoch {life}")
            log.announce(f"life {life}")
            log.stacks()
    lines = (tmp_path / "logs" / "worker-1.log").read_text().splitlines()
    assert said == ["life 1", "life 2"]
    for text in ("epoch 1", "life 1", "epoch 2", "life 2"):
        (line,) = [line for line in lines if line.endswith(text)]
        assert line.split()[0].endswith("Z")
    assert any("test_a_log_holds_all_said" in line for line in lines)


def test_a_log_holds_the_error_that_ended_the_process(tmp_path):
    try:
        with WorkerLog(tmp_path, 0, print):
            raise ValueError("seven")
    except ValueError:
        pass
    text = (tmp_path / "worker-0.log").read_text()
    assert "Traceback" in text and "ValueError: seven" in text
