"""Memory to be had: the least of the machine's and the container's."""

import pytest

from trainer import memory


@pytest.fixture
def container(tmp_path, monkeypatch):
    """Sets a container's limit and what it uses."""

    def write(limit, used):
        for name, text in (("max", limit), ("current", used)):
            (tmp_path / name).write_text(f"{text}\n")
        monkeypatch.setattr(
            memory, "_LIMITS", ((str(tmp_path / "max"), str(tmp_path / "current")),)
        )

    return write


def test_a_container_s_limit_less_its_use_counts_where_it_is_smaller(container):
    container(5000, 2000)
    assert memory.available_bytes() == 3000


def test_a_container_beyond_its_limit_has_nothing(container):
    container(2000, 5000)
    assert memory.available_bytes() == 0


def test_without_a_limit_the_machine_s_memory_counts(container, monkeypatch):
    container("max", 5000)
    with_container = memory.available_bytes()
    monkeypatch.setattr(memory, "_LIMITS", (("/nowhere/max", "/nowhere/current"),))
    assert 1 << 20 < with_container < 1 << 50
    assert memory.available_bytes() == pytest.approx(with_container, rel=0.2)
