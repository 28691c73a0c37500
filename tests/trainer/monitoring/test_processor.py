"""Shares of a machine's processor, out of made-up counts of its ticks and out of the real ones."""

import subprocess
import sys
import time

import pytest

from trainer.monitoring import processor
from trainer.monitoring.cores import Throttling
from trainer.monitoring.processor import OTHERS, OWN, THROTTLED, WANTED, ProcessorMonitor

UNKNOWN = dict.fromkeys((OWN, OTHERS, THROTTLED, WANTED))


@pytest.fixture(autouse=True)
def no_limit(monkeypatch):
    monkeypatch.setattr(processor, "throttling", lambda: None)


@pytest.fixture
def counts(tmp_path, monkeypatch):
    """Sets what the machine counts: user nice system idle iowait irq softirq steal."""
    file = tmp_path / "stat"
    monkeypatch.setattr(processor, "_STAT", file)

    def write(*numbers):
        file.write_text(f"cpu  {' '.join(map(str, numbers))} 0 0\ncpu0 1 1 1 1\n")

    return write


def test_shares_are_of_all_cores_since_the_restart(counts, monkeypatch):
    """1,000 ticks more, 400 of them idle and 100 waiting for a disk; 3 of the 5 s are ours."""
    monkeypatch.setattr(processor, "_TICKS", 100)
    own = iter([10.0, 10.0, 13.0])
    monkeypatch.setattr(processor.time, "process_time", lambda: next(own))
    counts(1, 2, 3, 4, 5, 6, 7, 8)
    monitor = ProcessorMonitor()
    monitor.restart()
    counts(301, 52, 53, 404, 105, 26, 27, 68)
    assert monitor.figures() == pytest.approx({**UNKNOWN, OWN: 0.3, OTHERS: 0.2})


def test_a_container_that_was_held_back_is_told_by_periods_since_the_restart(monkeypatch):
    """30 of the 40 periods since then."""
    counted = iter([Throttling(5, 10), Throttling(7, 60), Throttling(37, 100)])
    monkeypatch.setattr(processor, "throttling", lambda: next(counted))
    monitor = ProcessorMonitor()
    monitor.restart()
    assert monitor.figures()[THROTTLED] == 0.75


def test_too_short_a_time_tells_nothing(counts):
    counts(0, 0, 0, 0, 0, 0, 0, 0)
    monitor = ProcessorMonitor()
    counts(25, 0, 0, 24, 0, 0, 0, 0)
    assert monitor.figures() == UNKNOWN
    counts(25, 0, 0, 25, 0, 0, 0, 0)
    assert monitor.figures()[OTHERS] == pytest.approx(0.5, abs=0.1)


@pytest.mark.parametrize("text", ["", "cpu a b c d e f g h\n", "cpu 1 2\n"])
def test_a_machine_that_does_not_tell_is_left_alone(tmp_path, monkeypatch, text):
    monkeypatch.setattr(processor, "_STAT", tmp_path / "stat")
    assert ProcessorMonitor().figures() == UNKNOWN
    (tmp_path / "stat").write_text(text)
    assert ProcessorMonitor().figures() == UNKNOWN


def test_where_others_of_the_run_are_on_the_machine_nothing_is_known(counts):
    counts(0, 0, 0, 0, 0, 0, 0, 0)
    monitor = ProcessorMonitor(alone=False)
    counts(100, 0, 0, 0, 0, 0, 0, 0)
    assert monitor.figures() == UNKNOWN


def test_a_process_that_works_beside_this_one_is_seen():
    """It works for one and a half seconds of its own processor time."""
    if processor._ticks() is None:
        pytest.skip("this machine does not count")
    monitor = ProcessorMonitor()
    begun = time.perf_counter()
    work = "import time\nwhile time.process_time() < 1.5: pass"
    subprocess.run([sys.executable, "-c", work], check=True)
    seconds = time.perf_counter() - begun
    cores = processor.os.cpu_count() or 1
    found = monitor.figures()
    # What other tests do meanwhile only adds.
    assert found[OTHERS] >= 0.8 * 1.5 / (seconds * cores)
    assert 0.0 <= found[OWN] <= 1.1 - found[OTHERS]
