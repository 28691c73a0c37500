"""How the process of a worker ends: its exit code, what it says, and that it waits for nothing."""

from __future__ import annotations

import subprocess
import sys

import pytest

from preprocess.shell.exit_codes import ExitCode

START = """
import importlib.util, threading
from preprocess.shell.blame import own_folder
from preprocess.shell.errors import DataError
from trainer.workers.worker_process import work_and_leave

class Endless:
    def __del__(self): threading.Event().wait()

def saved(held):
    raise SystemExit(75)

def damaged(held):
    raise DataError("a shard is damaged")

def ours(held):
    raise RuntimeError("not foreseen")

def lost(held):
    import tensorflow as tf
    raise tf.errors.UnavailableError(None, None, "Collective ops is aborted by: a peer is gone")

def in_words(held):
    raise SystemExit("no licence")

def of_the_user(held):
    own_folder({folder!r})
    spec = importlib.util.spec_from_file_location("own", {folder!r} + "/own.py")
    own = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(own)
    own.ended()

work_and_leave("train", lambda: {work}(Endless()))
"""
OWN = "def ended():\n    raise KeyError('loss')\n"


@pytest.mark.parametrize(
    ("work", "code", "said"),
    [
        ("saved", ExitCode.SAVED, ""),
        ("damaged", ExitCode.DATA, "trainer train: a shard is damaged\n"),
        ("of_the_user", ExitCode.CONFIG, "own.py, line 2: KeyError: 'loss'\n"),
        ("lost", ExitCode.LOST_PEER, "to resume from the last saved state\n"),
        ("in_words", 1, "trainer train: no licence\n"),
        ("ours", 1, "RuntimeError: not foreseen\n"),
    ],
)
def test_its_code_and_words_although_what_its_error_holds_never_closes(tmp_path, work, code, said):
    (tmp_path / "own.py").write_text(OWN)
    script = START.format(folder=str(tmp_path), work=work)
    command = [sys.executable, "-c", script]
    ended = subprocess.run(command, timeout=60, capture_output=True, text=True)
    assert ended.returncode == code
    assert ended.stderr.endswith(said) and bool(ended.stderr) == bool(said)
    assert ("Traceback" in ended.stderr) == (work == "ours")
