"""A build that is told to end, or loses a worker: at once, with words, leaving nobody behind."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from preprocess.shards.open_files import OTHER_FILES, allow_open_files, threads_for
from tests import forked
from tests.benchmarks.build_runs import family
from tests.preprocess import made

PROCESSES = ("--", "--direct_running_mode=multi_processing", "--direct_num_workers=2")
ONE_WORKER = ("--workers=1",)
DEADLINE = 60.0  # seconds; for what takes two on a quiet machine


@pytest.fixture(scope="module")
def flags(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """150 and 6 faces, to be built in 40 variants: seconds of work."""
    values = made.triplet_set(tmp_path_factory.mktemp("set"), train=150, test=6)
    return [
        "--source=fec",
        "--variants=40",
        "--shards=12",
        *(f"--{k}={v}" for k, v in values.items()),
    ]


def wait_for(what: Callable[[], object], build: subprocess.Popen[str]) -> None:
    until = time.monotonic() + DEADLINE
    while not what():
        assert build.poll() is None, build.communicate()[1]
        assert time.monotonic() < until
        time.sleep(0.01)


def alive(pids: list[int]) -> list[int]:
    return [pid for pid in pids if Path(f"/proc/{pid}").exists()]


@pytest.fixture
def started(flags: list[str], tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts a build and waits until it has finished some shards."""
    builds = []

    def start(*arguments: str) -> subprocess.Popen[str]:
        command = made.command("build", *flags, f"--output={tmp_path}/out", *arguments)
        build = forked.Popen(command, env=made.environment(), stderr=subprocess.PIPE)
        builds.append(build)
        done = tmp_path / "out" / ".build" / "done"
        wait_for(lambda: done.is_dir() and any(done.iterdir()), build)
        return build

    yield start
    for build in builds:
        build.kill()
        build.wait()
        assert build.stderr is not None
        build.stderr.close()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "number", "code"),
    [
        (ONE_WORKER, signal.SIGTERM, os.EX_TEMPFAIL),
        (PROCESSES, signal.SIGTERM, os.EX_TEMPFAIL),
        (PROCESSES, signal.SIGKILL, -signal.SIGKILL),
    ],
)
def test_it_ends_at_once_and_no_worker_stays(started, tmp_path, arguments, number, code):
    build = started(*arguments)
    workers = family(build.pid)[1:]
    assert len(workers) == (2 if arguments == PROCESSES else 0)
    told = time.monotonic()
    build.send_signal(number)
    said = build.communicate()[1]
    assert time.monotonic() - told < DEADLINE / 2
    assert build.returncode == code
    assert "Traceback" not in said
    if number == signal.SIGTERM:
        assert said.splitlines()[-1].startswith("preprocess build: stopped by SIGTERM; finished")
    wait_for_none = time.monotonic() + DEADLINE
    while alive(workers) and time.monotonic() < wait_for_none:
        time.sleep(0.01)
    assert not alive(workers)
    assert not (tmp_path / "out" / "dataset.json").exists()


@pytest.mark.slow
def test_a_worker_that_is_killed_ends_the_build_with_69(started):
    build = started(*PROCESSES)
    os.kill(family(build.pid)[1], signal.SIGKILL)
    said = build.communicate(timeout=DEADLINE)[1]
    assert build.returncode == os.EX_UNAVAILABLE
    assert "a worker process died" in said.splitlines()[-1]
    assert "Traceback" not in said


BEGINNING = "import signal; from preprocess.engines import stopping\n"


def test_what_runs_elsewhere_is_ended_first():
    """As a job on a cluster is, by the `except` of its context."""
    code = f"""{BEGINNING}
with stopping.ending_at_once_when_told('x'):
    try:
        with stopping.unwinding():
            signal.raise_signal(signal.SIGTERM)
    finally:
        print('the job is ended', flush=True)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], env=made.environment(), capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (os.EX_TEMPFAIL, "the job is ended\n")
    assert done.stderr.startswith("\nx: stopped by SIGTERM;")


def test_signals_that_are_ignored_stay_ignored():
    """As nohup and the background of a script have it."""
    code = f"""{BEGINNING}
signal.signal(signal.SIGHUP, signal.SIG_IGN)
with stopping.ending_at_once_when_told('x'):
    signal.raise_signal(signal.SIGHUP)
    signal.raise_signal(signal.SIGTERM)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], env=made.environment(), capture_output=True, text=True
    )
    assert done.returncode == os.EX_TEMPFAIL
    assert done.stderr == (
        "\nx: stopped by SIGTERM; finished work is kept, the same command resumes\n"
    )


# --- open files


def test_the_own_limit_is_raised_as_far_as_it_may():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
        raised = allow_open_files()
        assert raised == resource.getrlimit(resource.RLIMIT_NOFILE)[0] > 256
        assert allow_open_files() == raised
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize(
    ("workers", "variants", "limit", "threads"),
    [
        (64, 10, OTHER_FILES + 640, 64),
        (64, 10, OTHER_FILES + 639, 63),
        (64, 100, 1024, 7),  # (1024 - 256) / 100
        (2, 100, 300, 1),  # one there must be
    ],
)
def test_threads_have_files_enough(workers, variants, limit, threads):
    assert threads_for(workers, variants, limit) == threads


@pytest.mark.slow
def test_a_hundred_variants_are_built_under_a_low_limit(tmp_path):
    """200 files may be open, then 400: two threads of a hundred variants would need more."""
    flags = made.triplet_set(tmp_path, train=12, test=3)
    arguments = [f"--{name}={path}" for name, path in flags.items()]
    build = made.command(
        "build", "--source=fec", f"--output={tmp_path}/out", "--variants=100", "--shards=4",
        "--workers=2", *arguments,
    )  # fmt: skip
    done = subprocess.run(
        ["bash", "-c", 'ulimit -Hn 400; ulimit -Sn 200; exec "$@"', "bash", *build],
        env=made.environment(), capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert made.manifest(tmp_path / "out").variants == 100
