"""Memory limits as they are felt, in control groups of both versions and without any."""

import pytest

from trainer.monitoring import memory, memory_pressure
from trainer.monitoring.memory_pressure import REREAD, STALLED, MemoryMonitor, killed_for_memory
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
        monkeypatch.setattr(memory_pressure, "OWN_READS", tmp_path / "io")
        monkeypatch.setattr(memory, "MACHINE", tmp_path / "meminfo")
        (tmp_path / "meminfo").write_text("MemTotal: 2048 kB\n")
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
    assert monitor.figures()[STALLED] == pytest.approx(0.2)


@pytest.mark.parametrize(("available", "share"), [(100, 0.2), (1000, None)])
def test_the_machine_s_figure_is_taken_where_its_memory_is_short(
    group, monkeypatch, available, share
):
    """Of 2,048 kB; otherwise another container has reached a limit of its own."""
    folder, now = group(1).parent, [100.0]
    (folder / "meminfo").write_text(f"MemTotal: 2048 kB\nMemAvailable: {available} kB\n")
    monkeypatch.setattr(memory_pressure.time, "monotonic", lambda: now[0])
    write_pressure(folder / "machine", 3_000_000)
    monitor = MemoryMonitor()
    write_pressure(folder / "machine", 5_000_000)
    now[0] = 110.0
    assert monitor.figures()[STALLED] == (share and pytest.approx(share))


@pytest.mark.parametrize("text", ["", "some", "some total=many\n", "some avg10\n", "\xff"])
def test_what_cannot_be_read_is_not_known(group, text):
    (group(2) / "memory.pressure").write_bytes(text.encode("latin1"))
    (group(2) / "memory.events").write_bytes(text.encode("latin1"))
    (group(2) / "memory.stat").write_bytes(text.encode("latin1"))
    (group(2) / "memory.max").write_text("1000\n")
    assert MemoryMonitor().figures() == {STALLED: None, REREAD: None}
    assert killed_for_memory() is None


LIMITS = {2: "memory.max", 1: "memory.limit_in_bytes"}
NO_LIMIT = {2: "max", 1: str((1 << 63) - 4096)}
PAGE = memory_pressure._PAGE_BYTES


def write_reads(folder, version, pages, read_bytes):
    """What the group has had dropped and read again, and what the process has read."""
    name = "workingset_refault_file"
    # Version 1 has what the group alone counts first, without the groups below.
    lines = [f"{name} {pages}"] if version == 2 else [f"{name} 1", f"total_{name} {pages}"]
    (folder / "memory.stat").write_text("cache 5\n" + "\n".join(lines) + "\n")
    root = folder if version == 2 else folder.parent
    text = f"rchar: 9\nread_bytes: {read_bytes}\nwrite_bytes: 3\n"
    (root / "io").write_text(text)


@pytest.mark.parametrize("version", [1, 2])
def test_what_a_limit_dropped_and_was_read_again(group, version):
    """From page 100 on, 10,000 of the 40,000 pages that were read, a quarter, had been there."""
    folder = group(version)
    (folder / LIMITS[version]).write_text("1000000\n")
    write_reads(folder, version, 100, 7)
    monitor = MemoryMonitor()
    write_reads(folder, version, 10_100, 7 + 40_000 * PAGE)
    assert monitor.figures()[REREAD] == 0.25
    # What others of the group read is no more than all of it.
    write_reads(folder, version, 90_000, 7 + 40_000 * PAGE)
    assert monitor.figures()[REREAD] == 1.0
    # A page or two of a program say nothing.
    write_reads(folder, version, 102, 7 + 2 * PAGE)
    assert monitor.figures()[REREAD] == 0.0


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("missing", ["limit", "no limit", "memory.stat", "io"])
def test_without_a_limit_or_the_right_to_read_it_is_not_known(group, version, missing):
    folder = group(version)
    write_reads(folder, version, 100, 7)
    (folder / LIMITS[version]).write_text(NO_LIMIT[version] if missing == "no limit" else "1000\n")
    gone = {"limit": LIMITS[version]}.get(missing, missing)
    if missing != "no limit":
        (folder if gone != "io" or version == 2 else folder.parent).joinpath(gone).unlink()
    monitor = MemoryMonitor()
    assert monitor.figures()[REREAD] is None


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
