"""Processor cores to be had: the least of the machine's and its containers'."""

import pytest

from trainer import cores, memory


@pytest.fixture
def limited(tmp_path, monkeypatch):
    """Makes a control group of a version with a limit, on a machine of 8 cores."""

    def make(version, quota):
        folder = tmp_path if version == 2 else tmp_path / "cpu"
        folder.mkdir(exist_ok=True)
        if version == 2:
            (folder / "cpu.max").write_text(f"{quota} 100000\n")
        else:
            (folder / "cpu.cfs_quota_us").write_text(f"{quota}\n")
            (folder / "cpu.cfs_period_us").write_text("100000\n")
        controllers = "" if version == 2 else "cpu,cpuacct"
        (tmp_path / "own").write_text(f"0:{controllers}:/\n")
        monkeypatch.setattr(memory, "CGROUPS", tmp_path)
        monkeypatch.setattr(memory, "OWN_GROUPS", tmp_path / "own")
        monkeypatch.setattr(cores.os, "sched_getaffinity", lambda _: set(range(8)))

    return make


@pytest.mark.parametrize("version", [1, 2])
def test_a_container_s_share_of_time_counts_where_it_is_smaller(limited, version):
    """250 ms of every 100."""
    limited(version, 250_000)
    assert cores.available_cores() == 2.5


@pytest.mark.parametrize(("version", "quota"), [(1, -1), (2, "max"), (2, 1_600_000)])
def test_without_a_tighter_limit_the_machine_s_cores_count(limited, version, quota):
    limited(version, quota)
    assert cores.available_cores() == 8
