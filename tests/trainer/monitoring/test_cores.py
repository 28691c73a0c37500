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
    assert cores.throttling() is None
    stat = tmp_path / ("cpu.stat" if version == 2 else "cpu/cpu.stat")
    stat.write_text("usage_usec 9\nnr_periods 756\nnr_throttled 747\n")
    assert cores.throttling() == (747, 756, None)
    for text in ("nr_periods 0\nnr_throttled 0\n", "usage_usec 9\n", "nr_periods x\n", "one\n"):
        stat.write_text(text)
        assert cores.throttling() is None


# Measured with programs that keep N threads busy for a share of their time, under half a core for
# 5 s of periods of 100 ms: what the kernel counted, and what they want.
@pytest.mark.parametrize(
    ("held_back", "nanoseconds", "wanted"),
    [
        (50, 2_470_730_882, 1.0),  # one thread
        (51, 7_503_771_967, 2.0),  # two
        (50, 1_785_196_672, 0.8),  # one, 80 % of its time
        (50, 779_051_501, 0.6),
    ],
)
@pytest.mark.parametrize("version", [1, 2])
def test_the_limit_that_would_be_enough(limited, version, tmp_path, held_back, nanoseconds, wanted):
    limited(version, 50_000)
    stat = tmp_path / ("cpu.stat" if version == 2 else "cpu/cpu.stat")
    name, unit = ("throttled_usec", 1000) if version == 2 else ("throttled_time", 1)
    counted = []
    for times in (1, 2):
        stat.write_text(
            f"nr_periods {51 * times}\nnr_throttled {held_back * times}\n"
            f"{name} {nanoseconds * times // unit}\n"
        )
        counted.append(cores.throttling())
    assert cores.wanted_cores(*counted) == pytest.approx(wanted, rel=0.04)


def test_without_a_count_of_what_stood_still_nothing_is_known(limited):
    limited(2, 50_000)
    first, second = cores.Throttling(0, 10), cores.Throttling(9, 20)
    assert cores.wanted_cores(first, second) is None
    first, second = cores.Throttling(9, 10, 1.0), cores.Throttling(9, 20, 1.0)
    assert cores.wanted_cores(first, second) is None


def test_workers_compete_where_they_may_run_on_the_same_cores(limited, monkeypatch):
    """And, where there is a limit, where it is that of the same control group."""
    limited(2, "max")
    shared = cores.shared_cores_number()
    assert shared == cores.shared_cores_number() < 1 << 32
    monkeypatch.setattr(cores.os, "sched_getaffinity", lambda _: {1})
    assert cores.shared_cores_number() != shared
    limited(2, 50_000)
    monkeypatch.setattr(cores.memory, "NAMESPACE", "/proc/self")
    with_limit = cores.shared_cores_number()
    monkeypatch.setattr(cores.memory, "NAMESPACE", "/proc")
    assert len({shared, with_limit, cores.shared_cores_number()}) == 3


@pytest.mark.parametrize("version", [1, 2])
def test_a_container_s_share_of_time_counts_where_it_is_smaller(limited, version):
    """250 ms of every 100."""
    limited(version, 250_000)
    assert cores.available_cores() == 2.5


@pytest.mark.parametrize(("version", "quota"), [(1, -1), (2, "max"), (2, 1_600_000)])
def test_without_a_tighter_limit_the_machine_s_cores_count(limited, version, quota):
    limited(version, quota)
    assert cores.available_cores() == 8
