"""What is said beforehand of cores, saves and the start."""

import pytest

from trainer.preflight import facts
from trainer.preflight.checks import OK, WARNING
from trainer.preflight.machine_checks import cpu, saving, start


@pytest.mark.parametrize(
    ("check", "status", "words"),
    [
        (cpu(8, 8, None, 0), OK, ["8 of 8 cores"]),
        (cpu(0.5, 8, 0.9, 1), WARNING, ["0.5 of 8 cores", "90%", "CPU limit"]),
        (cpu(2, 8, 0.01, 4), WARNING, ["4 replicas", "virtual_replicas=2"]),
        (cpu(0.5, 8, None, 1), OK, ["container's limit"]),
        # 2 s after 100 steps of 0.1 s: 2 / 12.
        (saving(2.0, 10**8, 0.1, 100), OK, ["2.0 s", "100 MB", "wait for it 0.0%"]),
        (saving(2.5, 10**8, 0.1, 20), OK, ["20.0%"]),
        # 1.5 s after 20 steps of 0.1 s: 43 %; of 2 %: 1.5 * 0.98 / 0.02 = 73.5 s, 735 steps.
        (saving(3.5, 10**8, 0.1, 20), WARNING, ["42.9%", "every 35 steps"]),
        (start(12.0, 3600.0), OK, ["12 s"]),
        (start(12.0, 5.0), OK, ["longer than the steps of this run"]),
    ],
)
def test_a_check_of_the_machine_says_how_it_is_and_what_to_do(check, status, words):
    assert check.status == status, check
    text = f"{check.value} {check.advice}".replace("\N{NO-BREAK SPACE}", " ")
    for word in words:
        assert word in text
    assert bool(check.advice) == (status != OK)


def test_a_state_is_tried_on_the_storage_and_nothing_is_left(tmp_path, monkeypatch):
    """An eighth is written, and the time is eight times that of one."""
    synced = []
    monkeypatch.setattr(facts.os, "fsync", lambda file: synced.append(file))
    monkeypatch.setattr(facts, "MOST_WRITTEN", 1 << 20)
    clock = iter([10.0, 10.5])
    monkeypatch.setattr(facts.time, "perf_counter", lambda: next(clock))
    assert facts.save_seconds(tmp_path, 8 << 20) == 4.0
    assert len(synced) == 1
    assert list(tmp_path.iterdir()) == []
