"""Commands that a limit of the process ends."""

from __future__ import annotations

import resource

import pytest

from preprocess.shell.resource_limits import limit_reached

THREAD = RuntimeError("can't start new thread")


@pytest.fixture
def limits(monkeypatch):
    found = {}
    monkeypatch.setattr(
        resource, "getrlimit", lambda number: (found.get(number, resource.RLIM_INFINITY),) * 2
    )
    return found


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        THREAD,
        OSError(12, "Cannot allocate memory"),
        ImportError("libx.so: failed to map segment from shared object"),
        RuntimeError("a worker of Beam's raised: MemoryError: Unable to allocate 3 MiB"),
    ],
)
def test_memory_that_ends_at_a_limit_names_it(limits, error):
    assert limit_reached(error) == ""
    limits[resource.RLIMIT_AS] = 2_000_000 << 10
    assert "2000000 kB (ulimit -v)" in limit_reached(error)
    limits.clear()
    limits[resource.RLIMIT_DATA] = 1_000 << 10
    assert "ulimit -d unlimited" in limit_reached(error)


def test_threads_that_end_at_a_limit_name_it(limits):
    limits[resource.RLIMIT_NPROC] = 50
    assert "50 processes and threads (ulimit -u)" in limit_reached(THREAD)
    assert limit_reached(MemoryError()) == ""


def test_other_errors_are_no_limits(limits):
    limits[resource.RLIMIT_AS] = 2_000_000 << 10
    assert limit_reached(ValueError("memory")) == ""
