"""Memory limits as they are felt, in control groups of both versions and without any."""

import pytest

from trainer.monitoring import memory, memory_pressure
from trainer.monitoring.memory_pressure import STALLED, MemoryMonitor, killed_for_memory
from trainer.workers.supervisor.memory_kills import MemoryKills

EVENTS = {2: "memory.events", 1: "memory.oom_control"}


@pytest.fixture
def group(tmp_path, monkeypatch):
    """`group(version)`: the folder of this process's control group, empty."""

    def make(version):
        controllers, folder = ("", tmp_path) if version == 2 else ("memory", tmp_path / "memory")
        folder.mkdir(exist_ok=True)
        (tmp_path / "own").write_text(f"0:{controllers}:/\n")
        monkeypatch.setattr(memory, "CGROUPS", tmp_path)
        monkeypatch.setattr(memory, "OWN_GROUPS", tmp_path / "own")
        monkeypatch.setattr(memory_pressure, "MACHINE", tmp_path / "machine")
        return folder

    return make


def write_pressure(path, microseconds):
    path.write_text(
        f"some avg10=1.00 avg60=0.00 avg300=0.00 total={microseconds}\n"
        "full avg10=0.00 avg60=0.00 avg300=0.00 total=7\n"
    )


def test_the_share_of_the_time_in_which_something_waited_for_memory(group, monkeypatch):
    """From 3 s to 5 s of 10 s: a fifth."""
    folder, now = group(2), [100.0]
    monkeypatch.setattr(memory_pressure.time, "monotonic", lambda: now[0])
    write_pressure(folder / "memory.pressure", 3_000_000)
    monitor = MemoryMonitor()
    write_pressure(folder / "memory.pressure", 5_000_000)
    now[0] = 110.0
    assert monitor.figures() == pytest.approx({STALLED: 0.2})


def test_where_the_group_does_not_count_it_the_machine_s_figure_is_taken(group):
    write_pressure(group(1).parent / "machine", 4_000_000)
    assert memory_pressure.stalled_seconds() == 4


@pytest.mark.parametrize("text", ["", "some", "some total=many\n", "some avg10\n", "\xff"])
def test_what_cannot_be_read_is_not_known(group, text):
    (group(2) / "memory.pressure").write_bytes(text.encode("latin1"))
    (group(2) / "memory.events").write_bytes(text.encode("latin1"))
    assert MemoryMonitor().figures() == {STALLED: None}
    assert killed_for_memory() is None


@pytest.mark.parametrize("version", [1, 2])
def test_a_kill_for_memory_is_told_from_one_by_somebody(group, version):
    events = group(version) / EVENTS[version]
    events.write_text("low 0\noom_kill_disable 0\noom_kill 2\n")
    kills = MemoryKills()
    assert (killed_for_memory(), kills.note()) == (2, "")
    events.write_text("low 0\noom_kill_disable 0\noom_kill 3\n")
    assert kills.note() == "; the memory limit killed a process"
    events.unlink()
    assert kills.note() == ""
