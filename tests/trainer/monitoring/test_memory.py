"""Memory to be had: the least of the machine's and its containers'."""

import pytest

from trainer.monitoring import memory

UNLIMITED = 1 << 62


@pytest.fixture
def groups(tmp_path, monkeypatch):
    """Makes control groups: version, the process's own path, {path: (limit, used, cached)}."""

    def make(version, own, limits):
        controllers, root, files = {
            2: ("", tmp_path, memory._FILES[2]),
            1: ("cpu,memory", tmp_path / "memory", memory._FILES[1]),
        }[version]
        for path, (limit, used, cached) in limits.items():
            folder = root / path.strip("/")
            folder.mkdir(parents=True, exist_ok=True)
            (folder / files.limit).write_text(f"{limit}\n")
            (folder / files.used).write_text(f"{used}\n")
            (folder / "memory.stat").write_text(f"anon 7\n{files.dropped_first} {cached}\n")
        (tmp_path / "own").write_text(f"7:pids:/\n0:{controllers}:{own}\n")
        monkeypatch.setattr(memory, "CGROUPS", tmp_path)
        monkeypatch.setattr(memory, "OWN_GROUPS", tmp_path / "own")

    return make


@pytest.mark.parametrize("version", [1, 2])
def test_a_container_s_limit_less_its_use_counts_where_it_is_smaller(groups, version):
    groups(version, "/", {"/": (5000, 2000, 0)})
    assert memory.available_bytes() == 3000


def test_files_in_the_cache_do_not_count_as_used(groups):
    """5000 - (4900 - 4000): the kernel drops what was read before it refuses memory."""
    groups(2, "/", {"/": (5000, 4900, 4000)})
    assert memory.available_bytes() == 4100


@pytest.mark.parametrize("version", [1, 2])
def test_the_tightest_of_nested_groups_counts(groups, version):
    """A job of 9000 with 8000 used leaves 1000, whatever its step and the root allow."""
    groups(
        version,
        "/job/step",
        {"/": (UNLIMITED, 8500, 0), "/job": (9000, 8000, 0), "/job/step": (8000, 100, 0)},
    )
    assert memory.available_bytes() == 1000


def test_a_path_that_the_container_does_not_see_leads_to_its_root(groups):
    groups(1, "/kubepods/pod1", {"/": (6000, 1000, 0)})
    assert memory.available_bytes() == 5000


def test_a_container_beyond_its_limit_has_nothing(groups):
    groups(2, "/", {"/": (2000, 5000, 0)})
    assert memory.available_bytes() == 0


def test_without_a_limit_the_machine_s_memory_counts(groups):
    groups(2, "/", {"/": ("max", 5000, 0)})
    with_container = memory.available_bytes()
    assert 1 << 20 < with_container < 1 << 50
    groups(2, "/nowhere", {})
    assert memory.available_bytes() == pytest.approx(with_container, rel=0.2)


@pytest.mark.parametrize(("of_task", "shared"), [(9000, True), (4000, False)])
def test_memory_is_shared_in_the_group_with_the_least_room(groups, of_task, shared):
    """Two tasks of a job that has 6000 left share those, unless a limit of their own is less."""
    numbers = []
    for own in ("/job/task0", "/job/task1"):
        job = {"/": (UNLIMITED, 10, 0), "/job": (9000, 3000, 0), own: (of_task, 10, 0)}
        groups(2, own, job)
        numbers.append(memory.shared_memory_number())
    assert (numbers[0] == numbers[1]) == shared and max(numbers) < 1 << 32


def test_containers_of_a_machine_share_none_of_their_limits(groups, monkeypatch):
    """Each sees its own group as "/", with a namespace of its own or, in version 1, without."""
    numbers = []
    for namespace in ("/proc", "/proc/self"):
        monkeypatch.setattr(memory, "NAMESPACE", namespace)
        groups(2, "/", {"/": (5000, 10, 0)})
        numbers.append(memory.shared_memory_number())
    for own in ("/kubepods/pod1", "/kubepods/pod2"):
        groups(1, own, {"/": (5000, 10, 0)})
        numbers.append(memory.shared_memory_number())
    assert len(set(numbers)) == 4


def test_without_a_limit_the_machine_s_memory_is_shared(groups):
    groups(2, "/one", {"/one": ("max", 10, 0)})
    first = memory.shared_memory_number()
    groups(2, "/two", {"/two": (UNLIMITED, 10, 0)})
    assert memory.shared_memory_number() == first
