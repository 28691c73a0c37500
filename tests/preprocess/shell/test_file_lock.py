"""Locks where the file system has no flock, and folders that cannot be synced."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import stat
import subprocess
import sys

import pytest

from preprocess.shell import atomic, file_lock
from preprocess.shell.process import machine, start_time
from tests.preprocess import made


@pytest.fixture(params=[errno.ENOTSUP, errno.ENOSYS, errno.ENOLCK])
def no_flock(request, monkeypatch):
    def refuse(descriptor, operation):
        raise OSError(request.param, os.strerror(request.param))

    monkeypatch.setattr(fcntl, "flock", refuse)


@pytest.fixture
def no_folder_sync(monkeypatch):
    real = os.fsync

    def fsync(descriptor):
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)


def hold(path):
    return file_lock.held(os.open(path, os.O_RDWR | os.O_CREAT), str(path))


def leave_behind(path, **changes):
    """What a holder that was killed leaves: this process's description, changed."""
    holder = {"host": "here", "machine": machine(), "pid": os.getpid(), "since": "then"}
    holder["started"] = start_time(os.getpid())
    path.write_text(json.dumps({**holder, **changes}))


def ended_process():
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_without_flock_only_one_holds_the_lock(tmp_path, no_flock):
    path, other = tmp_path / "lock", tmp_path / "lock.held"
    with hold(path):
        holder = json.loads(other.read_text())
        assert holder["pid"] == os.getpid()
        words = rf"process {os.getpid()} on .*remove '.*lock\.held'"
        with pytest.raises(file_lock.HeldError, match=words), hold(path):
            pass
        assert json.loads(other.read_text()) == holder
    assert not other.exists()
    with hold(path):
        pass


@pytest.mark.parametrize("what", ["ended", "number given out again"])
def test_a_lock_of_a_process_that_has_ended_is_taken_over(tmp_path, no_flock, what):
    gone = {"pid": ended_process()} if what == "ended" else {"started": 1}
    leave_behind(tmp_path / "lock.held", **gone)
    with hold(tmp_path / "lock"):
        assert json.loads((tmp_path / "lock.held").read_text())["pid"] == os.getpid()
    assert [path.name for path in tmp_path.iterdir()] == ["lock"]


@pytest.mark.parametrize("what", ["another machine", "half written", "not ours"])
def test_a_lock_whose_holder_may_live_is_left_alone(tmp_path, no_flock, what):
    path = tmp_path / "lock.held"
    leave_behind(path, machine="another", started=1)
    if what != "another machine":
        path.write_text("" if what == "half written" else "[1]")
    before = path.read_text()
    with (
        pytest.raises(file_lock.HeldError, match=r"remove '.*lock\.held'"),
        hold(tmp_path / "lock"),
    ):
        pass
    assert path.read_text() == before


@pytest.mark.parametrize("forked", [False, True])
def test_a_process_that_ends_at_once_releases_its_locks_and_not_its_parents(tmp_path, forked):
    """By SIGTERM, to itself or to a process that it has forked, as a build's workers are."""
    script = f"""
import errno, fcntl, os, signal
from preprocess.engines.stopping import ending_at_once_when_told
from preprocess.shell import file_lock

def refuse(descriptor, operation):
    raise OSError(errno.ENOTSUP, "not supported")

fcntl.flock = refuse
with ending_at_once_when_told("preprocess follow"), file_lock.held(0, {str(tmp_path / "lock")!r}):
    if not {forked} or not (child := os.fork()):
        signal.raise_signal(signal.SIGTERM)
    os._exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    done = subprocess.run([sys.executable, "-c", script], check=False)
    assert done.returncode == 75
    assert (tmp_path / "lock.held").exists() == forked


def test_two_processes_do_not_take_over_at_a_time(tmp_path, no_flock):
    """The second would remove the lock that the first has made anew."""
    leave_behind(tmp_path / "lock.held", started=1)
    leave_behind(tmp_path / "lock.held.taking-over")
    with pytest.raises(file_lock.HeldError, match="taking-over"), hold(tmp_path / "lock"):
        pass
    assert (tmp_path / "lock.held").exists()


def test_an_error_that_is_no_missing_flock_is_raised(tmp_path, monkeypatch):
    def refuse(descriptor, operation):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(OSError, match="Input/output"), hold(tmp_path / "lock"):
        pass
    assert not (tmp_path / "lock.held").exists()


def test_a_folder_that_cannot_be_synced_is_passed_over_and_a_broken_disk_is_not(
    tmp_path, no_folder_sync, monkeypatch
):
    atomic.sync_folder(tmp_path)

    def broken(descriptor):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "fsync", broken)
    with pytest.raises(OSError, match="Input/output"):
        atomic.sync_folder(tmp_path)


def test_a_dataset_is_built_where_there_is_neither(tmp_path, no_folder_sync, monkeypatch):
    def refuse(descriptor, operation):
        raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP))

    monkeypatch.setattr(fcntl, "flock", refuse)
    images = made.class_folders(tmp_path / "in")
    made.built("folders", tmp_path / "out", images=images)
    assert (tmp_path / "out" / "dataset.json").exists()
    assert not (tmp_path / "out" / ".build" / "lock.held").exists()
