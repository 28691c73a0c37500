"""Reading where a run is: what is not begun, what is not known, and which end counts."""

import errno
import json

import pytest

from preprocess import storage
from preprocess.follow import run_position as module
from preprocess.follow.run_position import (
    NOT_BEGUN,
    RunPosition,
    RunWatch,
    UnknownPositionError,
    run_position,
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, NOT_BEGUN),
        ('{"step": 7, "total_steps": 9}', NOT_BEGUN),
        ('{"step": 7, "ended": "failed"}', RunPosition(ended="failed", begun=False)),
        ('{"pass": 3, "last_pass": 9}', RunPosition(3, 9)),
        ('{"pass": 3, "last_pass": 9, "variant": 2}', RunPosition(3, 9, variant=2)),
        ('{"pass": 3, "ended": null}', RunPosition(3)),
        ('{"pass": 3, "last_pass": 9, "ended": "failed"}', RunPosition(3, 9, "failed")),
    ],
)
def test_where_a_run_is(tmp_path, text, expected):
    if text is not None:
        (tmp_path / "progress.json").write_text(text)
    assert run_position(str(tmp_path)) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        '{"pass": 3, "last_',
        "[1]",
        '{"pass": Infinity}',
        '{"pass": -1}',
        '{"pass": true}',
        '{"pass": 1, "last_pass": "2"}',
        '{"pass": 1, "ended": 7}',
        "[" * 20_000,
        "[" * 100_000,
    ],
)
def test_a_file_that_no_training_writes_says_nothing_of_where_it_is(tmp_path, text):
    (tmp_path / "progress.json").write_text(text)
    with pytest.raises(UnknownPositionError):
        run_position(str(tmp_path))
    watch = RunWatch(str(tmp_path))
    assert watch.look() is None


def test_the_last_position_holds_while_the_file_cannot_be_read(tmp_path, monkeypatch, capsys):
    file = tmp_path / "progress.json"
    file.write_text('{"pass": 11}')
    watch = RunWatch(str(tmp_path))
    assert watch.look() == RunPosition(11)
    file.write_text("")
    assert watch.look() == RunPosition(11)
    file.unlink()  # a mount that is gone
    assert watch.look() == RunPosition(11)
    file.write_text('{"pass": 12}')
    assert watch.look() == RunPosition(12)
    for code in (errno.ESTALE, errno.EIO, errno.EACCES):

        def fails(*_, code=code):
            raise OSError(code, "no")

        with monkeypatch.context() as patched:
            patched.setattr(storage, "read_bytes", fails)
            assert watch.look() == watch.look() == RunPosition(12)
    file.write_text('{"pass": 2}')
    assert watch.look() == RunPosition(2)
    said = capsys.readouterr().err
    assert said.count("trying again") == 4
    assert said.count("has gone") == 1


def test_an_end_that_was_there_before_counts_once_it_is_old_or_written_again(tmp_path, monkeypatch):
    file, ended = tmp_path / "progress.json", RunPosition(3, ended="failed")
    file.write_text(json.dumps({"pass": 3, "ended": "failed"}))
    watch = RunWatch(str(tmp_path))
    assert watch.look() == watch.look() == RunPosition(3)
    file.write_text(json.dumps({"pass": 3, "ended": "failed"}))
    assert watch.look() == ended
    watch = RunWatch(str(tmp_path))
    assert watch.look() == RunPosition(3)
    monkeypatch.setattr(module, "EARLIER_END_SECONDS", 0.0)
    assert watch.look() == ended


def test_an_end_that_comes_while_it_looks_counts_at_once(tmp_path):
    watch = RunWatch(str(tmp_path))
    assert watch.look() == NOT_BEGUN
    (tmp_path / "progress.json").write_text('{"pass": 0, "ended": "failed"}')
    assert watch.look() == RunPosition(0, ended="failed")
