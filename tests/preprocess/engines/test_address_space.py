"""A build whose process may not have the address space that its threads take."""

from __future__ import annotations

import resource

import pytest

from preprocess.build.builder import build
from preprocess.engines import address_space
from preprocess.engines.address_space import check_address_space, needed_bytes
from preprocess.shell.errors import ConfigError
from tests.preprocess import made

USED = 800 << 20


@pytest.fixture
def limit(monkeypatch):
    """A function that sets the limit, of a process that has USED."""
    of_system = resource.getrlimit

    def put(size):
        limits = {resource.RLIMIT_AS: (size, resource.RLIM_INFINITY)}
        monkeypatch.setattr(resource, "getrlimit", lambda of: limits.get(of) or of_system(of))

    monkeypatch.setattr(address_space, "_used", lambda: USED)
    return put


@pytest.mark.parametrize("workers", [1, 2, 8])
def test_what_has_room_is_built(limit, workers):
    limit(resource.RLIM_INFINITY)
    check_address_space(workers)
    limit(USED + needed_bytes(workers))
    check_address_space(workers)


def test_the_refusal_says_what_to_raise_and_what_fits(limit):
    limit(1_400_000 << 10)
    with pytest.raises(ConfigError, match=r"than 1400000 kB \(ulimit -v\).* with 2 workers needs"):
        check_address_space(2)
    with pytest.raises(ConfigError) as caught:
        check_address_space(2)
    assert f"--workers=1, which needs {(USED + needed_bytes(1)) // 1024} kB" in str(caught.value)
    assert "\n" not in str(caught.value)
    check_address_space(1)


def test_one_worker_is_not_advised_to_be_one(limit):
    limit(900_000 << 10)
    with pytest.raises(ConfigError) as caught:
        check_address_space(1)
    assert "--workers" not in str(caught.value)


def test_the_address_space_of_this_process_is_known():
    assert 10 << 20 < address_space._used() < 1 << 50


def test_a_build_is_refused_before_a_thread_is_started(tmp_path, limit):
    images = made.class_folders(tmp_path / "in")
    limit(USED + needed_bytes(1))
    request = made.request("folders", tmp_path / "out", images=images, variants=1, workers=2)
    with pytest.raises(ConfigError, match="ulimit -v"):
        build(request)
