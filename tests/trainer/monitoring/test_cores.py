"""Processor cores to be had: the least of the machine's and its containers'."""

import pytest

from trainer.monitoring import cores, memory


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
def test_how_often_a_container_was_held_back_is_read_from_its_group(limited, version, tmp_path):
    limited(version, 50_000)
    assert cores.throttled_periods() is None
    stat = tmp_path / ("cpu.stat" if version == 2 else "cpu/cpu.stat")
    stat.write_text("usage_usec 9\nnr_periods 756\nnr_throttled 747\n")
    assert cores.throttled_periods() == (747, 756)
    for text in ("nr_periods 0\nnr_throttled 0\n", "usage_usec 9\n", "nr_periods x\n", "one\n"):
        stat.write_text(text)
        assert cores.throttled_periods() is None


@pytest.mark.parametrize("version", [1, 2])
def test_a_container_s_share_of_time_counts_where_it_is_smaller(limited, version):
    """250 ms of every 100."""
    limited(version, 250_000)
    assert cores.available_cores() == 2.5


@pytest.mark.parametrize(("version", "quota"), [(1, -1), (2, "max"), (2, 1_600_000)])
def test_without_a_tighter_limit_the_machine_s_cores_count(limited, version, quota):
    limited(version, quota)
    assert cores.available_cores() == 8
