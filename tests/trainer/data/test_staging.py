"""--stage_to: one copy a machine, checked, and the copying command's own exit code.

The copying command is a stand-in that copies a directory, notes that it was called and waits for a
file where it is told to; the order of what happens is ours to test, the copying is not.
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from preprocess.shell.errors import UsageError
from trainer.data.staging import StagingError, staged

ROOT = Path(__file__).resolve().parents[3]
SOURCE = "gs://bucket/set"
FETCH = """
import json, os, pathlib, shutil, sys, time
folder = pathlib.Path(__file__).parent
source, target, flag = sys.argv[1:]
assert (source, flag) == ("gs://bucket/set", "--json")
with open(folder / "calls", "a") as calls:
    calls.write("x")
while (folder / "wait").exists():
    time.sleep(0.02)
if (folder / "fail").exists():
    print("the words of fetch", file=sys.stderr)
    sys.exit(int((folder / "fail").read_text()))
shutil.copytree(folder / "remote", target, dirs_exist_ok=True)
print(json.dumps({"bytes": 7, "bytes_copied": 7}))
"""
STAGE = """
import sys
from trainer.data.staging import staged
staged("gs://bucket/set", sys.argv[2], lambda m: print(m, file=sys.stderr, flush=True),
       [sys.executable, sys.argv[1]])
"""


@pytest.fixture
def fetch(tmp_path):
    """The command; its folder holds `calls`, `wait`, `fail` and `remote`."""
    (tmp_path / "remote").mkdir()
    (tmp_path / "remote" / "dataset.json").write_text("{}")
    (tmp_path / "fetch.py").write_text(FETCH)
    return [sys.executable, str(tmp_path / "fetch.py")]


@pytest.fixture
def said():
    return []


def test_without_the_flag_the_dataset_is_read_where_it_is(said):
    assert staged(SOURCE, "", said.append) == SOURCE
    assert not said


def test_a_dataset_is_copied_and_the_copy_is_what_is_read(fetch, tmp_path, said):
    target = tmp_path / "new" / "copy"
    assert staged(SOURCE, str(target), said.append, fetch) == str(target)
    assert (target / "dataset.json").read_text() == "{}"
    assert sorted(path.name for path in target.iterdir()) == ["dataset.json"]
    assert said == [f"copying '{SOURCE}' to '{target}'", "copied 7 of 7 bytes, all checked"]


def test_a_start_of_later_checks_the_copy_again(fetch, tmp_path, said):
    for _ in range(2):
        staged(SOURCE, str(tmp_path / "copy"), said.append, fetch)
    assert (tmp_path / "calls").read_text() == "xx"


def test_workers_that_start_together_share_one_copy(fetch, tmp_path):
    """Three processes; the first is held in its copying until the others wait for it."""
    (tmp_path / "wait").touch()
    processes = [stage(fetch, tmp_path) for _ in range(3)]
    lines = []
    for process in processes:
        lines.append(process.stderr.readline())
    assert sum("copying" in line for line in lines) == 1
    assert sum("waiting for it" in line for line in lines) == 2
    (tmp_path / "wait").unlink()
    said = [process.communicate(timeout=60)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0]
    assert (tmp_path / "calls").read_text() == "x"
    assert sum("by another process" in text for text in said) == 2


def stage(fetch, tmp_path):
    """A process that stages, without TensorFlow."""
    return subprocess.Popen(
        [sys.executable, "-c", STAGE, fetch[1], str(tmp_path / "copy")],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_checked_copy_is_used_while_the_storage_cannot_be_reached(fetch, tmp_path, said):
    copy = str(tmp_path / "copy")
    staged(SOURCE, copy, said.append, fetch)
    (tmp_path / "fail").write_text(str(os.EX_IOERR))
    assert staged(SOURCE, copy, said.append, fetch) == copy
    assert "cannot be reached" in said[-1]


def test_a_copy_that_was_changed_since_is_not_used(fetch, tmp_path, said):
    copy = tmp_path / "copy"
    staged(SOURCE, str(copy), said.append, fetch)
    (copy / "dataset.json").write_text("[]")
    (tmp_path / "fail").write_text(str(os.EX_IOERR))
    with pytest.raises(StagingError):
        staged(SOURCE, str(copy), said.append, fetch)


@pytest.mark.parametrize("code", [65, 74, 75, 78])
def test_the_exit_code_of_the_copying_is_ours(fetch, tmp_path, said, code, capfd):
    (tmp_path / "fail").write_text(str(code))
    with pytest.raises(StagingError, match="resumes") as caught:
        staged(SOURCE, str(tmp_path / "copy"), said.append, fetch)
    assert caught.value.exit_code == code
    assert "the words of fetch" in capfd.readouterr().err


def test_sigterm_ends_the_copying_too(fetch, tmp_path):
    (tmp_path / "wait").touch()
    process = stage(fetch, tmp_path)
    until = time.monotonic() + 60
    while not (tmp_path / "calls").exists() and time.monotonic() < until:
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    assert "SIGTERM while copying the dataset" in process.communicate(timeout=60)[1]
    (tmp_path / "wait").unlink()
    assert not (tmp_path / "copy").exists()


def test_a_dataset_on_a_disk_is_not_copied(said):
    with pytest.raises(UsageError, match="on a local disk"):
        staged("/data/set", "/copy", said.append)
