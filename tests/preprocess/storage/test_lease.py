"""The lock on an object store: one holder, the dead replaced, the living left alone."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
import threading

import pytest

from preprocess import storage
from preprocess.shell.holder import Holder
from preprocess.storage import gcs, lease
from preprocess.storage.lease import LeaseLost
from tests.preprocess import made


@pytest.fixture
def path(bucket: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """A lock, with all times a fiftieth of the real ones but in their proportion."""
    monkeypatch.setattr(lease, "HEARTBEAT_SECONDS", 0.2)
    monkeypatch.setattr(lease, "EXPIRY_SECONDS", 0.9)
    monkeypatch.setattr(lease, "WATCH_SECONDS", 0.04)
    return f"{bucket}/lock"


def plant(path: str, **changes: object) -> None:
    """A lock that another process holds, or held."""
    holder = dataclasses.replace(Holder.this_process("a build"), token="other", **changes)
    storage.write_bytes(path, holder.data)


def test_a_lock_is_given_back(path):
    with storage.lock(path, "a build"):
        assert storage.exists(path)
    assert not storage.exists(path)


def test_it_is_renewed_while_it_is_held(path):
    generations = set()
    with storage.lock(path, "a build") as held:
        for _ in range(3):
            generations.add(storage.stat(path).version)
            held.check()
    assert len(generations) == 3


def test_of_many_that_ask_at_once_one_gets_it(path):
    started, release = threading.Barrier(6), threading.Event()
    outcomes: list[str] = []

    def ask() -> None:
        started.wait()
        try:
            with storage.lock(path, "a build"):
                outcomes.append("held")
                release.wait()
        except storage.LockHeld:
            outcomes.append("refused")

    threads = [threading.Thread(target=ask) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads[:]:
        thread.join(0.5)
    while len(outcomes) < 6:
        threads[0].join(0.05)
    assert sorted(outcomes) == ["held"] + ["refused"] * 5
    release.set()
    for thread in threads:
        thread.join()
    assert not storage.exists(path)


def test_the_refusal_names_the_holder_and_the_way_out(path):
    with (
        storage.lock(path, "a build"),
        pytest.raises(storage.LockHeld) as caught,
        storage.lock(path, "a push"),
    ):
        pass
    said = str(caught.value)
    assert "a build on " in said and ", process " in said
    assert f"`gcloud storage rm {path}`" in said


def test_a_process_of_this_machine_that_ended_is_replaced_at_once(path, monkeypatch):
    monkeypatch.setattr(lease, "EXPIRY_SECONDS", 1000.0)
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    plant(path, pid=ended.pid, started="1")
    with storage.lock(path, "a build"):
        pass


def test_one_of_this_number_that_was_started_later_is_not_the_holder(path, monkeypatch):
    monkeypatch.setattr(lease, "EXPIRY_SECONDS", 1000.0)
    plant(path, started="1")
    with storage.lock(path, "a build"):
        pass


@pytest.mark.parametrize("content", [b"", b"[]", b'{"token": 1}', "elsewhere"])
def test_a_holder_that_does_not_renew_is_replaced_when_time_is_up(path, capsys, content):
    if isinstance(content, bytes):
        storage.write_bytes(path, content)
    else:
        plant(path, machine="another", host="elsewhere")
    with storage.lock(path, "a build"):
        pass
    said = capsys.readouterr().err
    assert "watching for up to 1 s" in said and "taking over" in said
    assert not storage.exists(path)


def test_who_was_replaced_learns_of_it(path):
    """The heartbeat would end this process, so it is made slow."""
    lease.HEARTBEAT_SECONDS = 1000.0  # the fixture puts it back
    with storage.lock(path, "a build") as held:
        plant(path)
        with pytest.raises(LeaseLost, match="was taken over by a build on "):
            held.check()
    assert storage.exists(path)  # the other's, so it stays


def test_who_was_replaced_ends_at_the_next_heartbeat(path):
    code = (
        "import time\n"
        "from preprocess import storage\n"
        "from preprocess.storage import lease\n"
        "lease.HEARTBEAT_SECONDS = 0.2\n"
        f"with storage.lock({path!r}, 'a build'):\n"
        "    print('held', flush=True)\n"
        "    time.sleep(60)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        env=made.environment(),
        cwd=made.ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    plant(path)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 74
    assert "stopped: the lock" in said and "was taken over by" in said


def test_a_renewal_whose_answer_was_lost_is_no_loss(path, monkeypatch):
    """The first attempt reached the storage, the second one meets the generation it made."""
    upload = gcs.upload

    def twice(*arguments, **options):
        upload(*arguments, **options)
        return upload(*arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(gcs, "upload", twice)
        with storage.lock(path, "a build") as held:
            held.check()
    assert not storage.exists(path)
