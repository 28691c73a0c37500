"""Whose fault it is where the user's own code fails: theirs, or that of the machine."""

from __future__ import annotations

import errno
import os
import sys

import pytest
import tensorflow as tf

from preprocess.shell.blame import own_folder, own_mistake
from preprocess.shell.errors import ConfigError, OutputError, UsageError
from preprocess.shell.exit_codes import ExitCode
from preprocess.shell.references import load_reference
from trainer.config.own_code import blamed

OF_THE_MACHINE = [
    (tf.errors.UnavailableError, "the other end is gone"),
    (tf.errors.AbortedError, "Collective ops is aborted by: a peer"),
    (tf.errors.InternalError, "cuDNN launch failure"),
    (tf.errors.UnknownError, "Failed to get convolution algorithm: cuDNN failed to initialize"),
    (tf.errors.ResourceExhaustedError, "OOM when allocating tensor"),
]


@pytest.mark.parametrize(("kind", "words"), OF_THE_MACHINE)
def test_a_fault_of_the_machine_within_own_code_stays_one(kind, words, tmp_path):
    with pytest.raises(kind), blamed("callbacks", "own.py:Mine"):
        raise kind(None, None, words)
    # Which TensorFlow says with the place of the operation in the user's file.
    own_folder(str(tmp_path))
    text = f'{words}\n  File "{tmp_path}/own.py", line 12, in call'
    assert own_mistake(kind(None, None, text)) is None


def test_a_mistake_in_a_graph_is_the_users_own(tmp_path):
    own_folder(str(tmp_path))
    text = f'Incompatible shapes\n  File "{tmp_path}/own.py", line 12, in call'
    for kind in (tf.errors.InvalidArgumentError, tf.errors.UnknownError):
        assert "own.py, line 12: " in str(own_mistake(kind(None, None, text)))
    assert own_mistake(RuntimeError("of ours")) is None


def test_what_own_code_raises_or_ends_with_is_one_line_of_its_place(tmp_path):
    (tmp_path / "own.py").write_text("import sys\ndef ended():\n    sys.exit(3)\n")
    ended = load_reference(f"{tmp_path}/own.py:ended", "callbacks")
    words = r"callbacks=own.py:ended fails: .*own.py, line 3: "
    with pytest.raises(ConfigError, match=words), blamed("callbacks", "own.py:ended"):
        ended()
    with pytest.raises(UsageError, match="of ours"), blamed("callbacks", "own.py:ended"):
        raise UsageError("of ours")
    assert sys.path[0] != str(tmp_path)


def test_a_full_disk_under_own_code_is_none_of_its_mistakes(tmp_path):
    (tmp_path / "own.py").write_text(
        "def written(path):\n    with open(path, 'w') as file:\n        file.write('x')\n"
    )
    written = load_reference(f"{tmp_path}/own.py:written", "callbacks")
    with pytest.raises(OutputError, match="No space left") as caught, blamed("callbacks", "own.py"):
        written("/dev/full")
    assert caught.value.exit_code == ExitCode.STORAGE
    with pytest.raises(ConfigError, match="No such file"), blamed("callbacks", "own.py"):
        written(tmp_path / "missing" / "file")
    for path, kind in (("/dev/full", OutputError), (tmp_path / "missing" / "file", ConfigError)):
        with pytest.raises(OSError, match="No s") as found:
            written(path)
        assert type(own_mistake(found.value)) is kind


def test_a_full_disk_is_one_also_where_others_pass_it_on():
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    from_it = RuntimeError("no log")
    from_it.__cause__ = full
    told = tf.errors.UnknownError(None, None, f"OSError: {full}\nTraceback ...")
    for error in (full, from_it, told):
        with pytest.raises(OutputError), blamed("loss.name", "own.py:f"):
            raise error
