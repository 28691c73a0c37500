"""One training a run directory: the living are left alone, the dead replaced, one of many wins.

The lock knows nothing of the kernel's: what another machine sees is its files, which tests write
as another machine would.
"""

import contextlib
import dataclasses
import itertools
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from preprocess.shell.errors import UsageError
from preprocess.shell.exit_codes import ExitCode
from preprocess.shell.holder import Holder
from tests import forked
from tests.trainer import datasets, kills
from trainer.training import run_lock
from trainer.training.run_directory import RunDirectory
from trainer.training.run_lock import RunInUse, RunTakenOver, only_training, training_there
from trainer.workers import signals


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A run directory, with all times a fiftieth of the real ones but in their proportion."""
    monkeypatch.setattr(run_lock, "HEARTBEAT_SECONDS", 0.2)
    monkeypatch.setattr(run_lock, "EXPIRY_SECONDS", 0.9)
    monkeypatch.setattr(run_lock, "WATCH_SECONDS", 0.02)
    return RunDirectory(str(tmp_path))


def plant(run, number, last_line="heartbeat 7", **changes):
    """A lock of another process."""
    holder = dataclasses.replace(Holder.this_process("a training"), token="other", **changes)
    run.lock.mkdir(exist_ok=True)
    (run.lock / f"{number:06d}").write_bytes(holder.data + f"\n\n{last_line}".encode())


def numbers(run):
    return sorted(int(path.name) for path in run.lock.iterdir())


def hold(run, said=None):
    return only_training(run, (said if said is not None else []).append)


def test_the_refusal_names_machine_process_and_time(run):
    here = f"process {os.getpid()}, since 20"
    with hold(run), pytest.raises(RunInUse, match=here) as caught, hold(run):
        pass
    assert f" on {os.uname().nodename}, " in str(caught.value)
    assert caught.value.exit_code == ExitCode.USAGE


def test_it_is_given_back_and_numbers_never_come_again(run):
    for number in (1, 2, 3, 4):
        with hold(run):
            assert numbers(run)[-1] == number and len(numbers(run)) <= 2
            assert training_there(run)
        assert not training_there(run)


def test_a_holder_of_this_machine_that_was_killed_is_replaced_at_once(run, monkeypatch):
    monkeypatch.setattr(run_lock, "EXPIRY_SECONDS", 1000.0)
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    plant(run, 5, pid=ended.pid, started="1")
    assert not training_there(run)
    with hold(run):
        assert numbers(run) == [5, 6]


def test_a_process_id_that_came_again_is_not_the_holder(run, monkeypatch):
    monkeypatch.setattr(run_lock, "EXPIRY_SECONDS", 1000.0)
    plant(run, 1, started="1")
    with hold(run):
        assert numbers(run) == [1, 2]


def test_a_suspended_holder_of_this_machine_is_never_replaced(run, monkeypatch):
    """It lives, so no time without a heartbeat makes it dead."""
    monkeypatch.setattr(run_lock, "EXPIRY_SECONDS", 0.0)
    plant(run, 1)
    with pytest.raises(RunInUse), hold(run):
        pass


def test_a_living_holder_on_another_machine_is_left_alone(run):
    said = []
    plant(run, 1, machine="another", host="node7")
    beats = threading.Timer(0.1, lambda: plant(run, 1, "heartbeat 8", machine="x", host="node7"))
    beats.start()
    with pytest.raises(RunInUse, match="on node7"), hold(run, said):
        pass
    beats.join()
    assert "may be in use" in said[0] and numbers(run) == [1]


@pytest.mark.parametrize("content", [b"", b"[]", b'{"token": 1}\n\nheartbeat 1', "elsewhere"])
def test_what_does_not_change_until_time_is_up_is_replaced(run, content):
    if isinstance(content, bytes):
        run.lock.mkdir()
        (run.lock / "000001").write_bytes(content)
    else:
        plant(run, 1, machine="another", host="elsewhere")
    started, said = time.monotonic(), []
    with hold(run, said):
        assert time.monotonic() - started >= 0.9
    assert "taking over from" in said[-1]


def test_a_replaced_holder_writes_no_state_and_ends(run, monkeypatch):
    """It was suspended, or cut off, for so long that another machine took the run over."""
    left = []
    monkeypatch.setattr(signals, "leave", left.append)
    said = []
    with hold(run, said) as lock:
        plant(run, 2, machine="another", host="node7")
        with pytest.raises(RunTakenOver, match="taken over by a training on node7"):
            lock.check()
        deadline = time.monotonic() + 10
        while not left:
            assert time.monotonic() < deadline
            time.sleep(0.01)
    assert left[0] == ExitCode.STORAGE and "taken over" in said[0]
    assert b"node7" in (run.lock / "000002").read_bytes()  # not marked as given back by the loser


def test_a_lock_file_that_somebody_removed_is_written_again(run):
    with hold(run) as lock:
        (run.lock / "000001").unlink()
        deadline = time.monotonic() + 10
        while not numbers(run):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        lock.check()
        with pytest.raises(RunInUse), hold(run):
            pass


def test_leaving_in_the_middle_gives_it_back(run, monkeypatch):
    """As after SIGTERM while nothing is unsaved, when no `with` is left in order."""
    codes = []
    monkeypatch.setattr(os, "_exit", codes.append)
    with hold(run):
        signals.leave(75)
        assert codes == [75]
        with hold(run):  # on any machine, at once
            pass


@pytest.mark.parametrize("what", ["file", "link"])
def test_something_else_in_its_place_is_refused_in_a_line(run, tmp_path, what):
    if what == "file":
        run.lock.touch()
    else:
        (tmp_path / "elsewhere").mkdir()
        run.lock.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UsageError, match=str(run.path)), hold(run):
        pass


@pytest.mark.parametrize("left", ["nothing", "released", "a dead holder"])
@pytest.mark.parametrize("releases", [0, 1, 2, 3])
@pytest.mark.parametrize("holds", [True, False])
@pytest.mark.parametrize("moment", range(4))
def test_at_every_moment_of_a_newcomer_others_may_come_and_one_gets_it(
    run, monkeypatch, left, releases, holds, moment
):
    """A newcomer reads the newest number, writes the next, reads again, and removes the old. Before
    each of these others come: `releases` of them acquire the lock and release it, a last one keeps
    it. What the newcomer had read is outdated then, even its number may have been removed again.
    """
    if left == "released":
        plant(run, 1, run_lock._RELEASED.decode())
    elif left == "a dead holder":
        plant(run, 1, pid=1, started="0")
    moments, others = itertools.count(), contextlib.ExitStack()
    refused = []

    def come():
        for number in range(releases + holds):
            try:
                with contextlib.ExitStack() as stack:
                    stack.enter_context(hold(run))
                    if number == releases:
                        others.push(stack.pop_all())
            except RunInUse:
                refused.append("another")

    def before(name):
        real = getattr(run_lock, name)

        def coming(*arguments):
            if next(moments) == moment:
                come()
            return real(*arguments)

        monkeypatch.setattr(run_lock, name, coming)

    for name in ("_newest", "_write", "_remove_below"):
        before(name)
    with others:
        try:
            with hold(run) as lock:
                lock.check()
                assert refused.count("another") == (releases + holds) * (moment > 1)
                with pytest.raises(RunInUse), hold(run):
                    pass
        except RunInUse:
            assert holds and moment < 2
            assert not refused
        else:
            assert moment > 1 or not holds


def test_of_twenty_at_once_one_gets_it(tmp_path):
    """Processes of one machine, thrice: first it is free, then it was left by a holder that was
    killed while it trained.
    """
    context = multiprocessing.get_context("fork")
    for _ in range(3):
        start, outcomes = context.Barrier(20), context.Queue()
        processes = [
            context.Process(target=_ask, args=(str(tmp_path), start, outcomes)) for _ in range(20)
        ]
        for process in processes:
            process.start()
        ends = [outcomes.get(timeout=60) for _ in processes]
        for process in processes:
            process.kill()
            process.join()
        assert sorted(end for end, _ in ends) == ["held"] + ["refused"] * 19, ends


def _ask(path, start, outcomes):
    start.wait()
    try:
        with only_training(RunDirectory(path), lambda _: None):
            outcomes.put(("held", ""))
            threading.Event().wait()
    except RunInUse as error:
        outcomes.put(("refused", str(error)))


@pytest.mark.slow
def test_a_second_training_is_refused_and_the_first_ends_as_if_alone(class_data, tmp_path):
    """The first is suspended while the second asks, so that it surely has not ended by then."""
    config = datasets.write_config(tmp_path / "c.py", datasets.CLASSIFICATION, epochs=3)
    flags = ["train", f"--config={config}", f"--data={class_data}", f"--workdir={tmp_path / 'run'}"]
    words = [sys.executable, "-m", "trainer", *flags]
    first = forked.Popen(words, cwd=datasets.REPOSITORY, stdout=subprocess.PIPE)
    try:
        deadline = time.monotonic() + 120
        while not (tmp_path / "run" / "metrics.jsonl").exists():
            assert time.monotonic() < deadline
            time.sleep(0.01)
        first.send_signal(signal.SIGSTOP)
        second = datasets.command("trainer", *flags)
        first.send_signal(signal.SIGCONT)
        assert first.wait(120) == 0
    finally:
        first.kill()
        first.wait()
    assert second.returncode == ExitCode.USAGE
    (line,) = second.stderr.splitlines()
    assert f"in use by a training on {os.uname().nodename}, process {first.pid}, since" in line
    rows = RunDirectory(str(tmp_path / "run")).rows()
    assert [row["epoch"] for row in rows] == [1, 2, 3]


ROUNDS = 2


@pytest.mark.slow
def test_of_two_started_at_once_one_trains_and_no_state_is_lost(class_data, tmp_path):
    """The same two commands, again and again, into one run directory, for one more epoch each time.

    21 pictures in batches of 8 are 3 steps a pass and an epoch. In each round one has to end with
    0; the other is refused, or, where it was so late that the first had ended, finds all done. The
    log of the run has every step and every record once: no two trained, none began anew. Which
    moments of the lock meet is chance here; the test of every moment of a newcomer tries them all.
    """
    run, refused = tmp_path / "run", 0
    for epochs in range(1, ROUNDS + 1):
        config = datasets.write_config(
            tmp_path / "c.py", datasets.CLASSIFICATION,
            epochs=epochs, data__log_records=True, model__backbone="mlp",
        )  # fmt: skip
        words = ["train", f"--config={config}", f"--data={class_data}", f"--workdir={run}"]
        both = [
            forked.Popen(
                [sys.executable, "-m", "trainer", *words], cwd=datasets.REPOSITORY,
                stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
            )
            for _ in range(2)
        ]  # fmt: skip
        ends = [process.communicate(timeout=300)[1] for process in both]
        codes = sorted(process.returncode for process in both)
        assert codes in ([0, 0], [0, ExitCode.USAGE]), ends
        if codes[1]:
            (said,) = (e for p, e in zip(both, ends, strict=True) if p.returncode)
            assert "is in use by a training on" in said
            refused += 1
        kills.check_records(run, 3 * epochs, 21, 8)
        rows = RunDirectory(str(run)).rows()
        assert [row["epoch"] for row in rows] == list(range(1, epochs + 1))
    # Else they were never there at the same time, and nothing was tried.
    assert refused
