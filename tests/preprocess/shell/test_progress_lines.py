"""Progress where stderr is no terminal: a line a minute, none for quick work."""

from __future__ import annotations

import io
import sys

import pytest

from preprocess.shell import progress as module
from preprocess.shell.progress import progress


def test_work_of_less_than_a_minute_prints_nothing(capsys):
    with progress(10, " faces", "drawing") as bar:
        for _ in range(10):
            bar.update()
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("total", "expected"),
    [(4, "drawing: 2 of 4 (50 %), "), (None, "drawing: 2, ")],
)
def test_a_line_says_what_is_done_how_fast_and_what_is_left(total, expected, capsys, monkeypatch):
    monkeypatch.setattr(module, "LOG_SECONDS", 0.0)
    with progress(total, " faces", "drawing") as bar:
        bar.update(2)
    first = capsys.readouterr().err.splitlines()[0]
    assert first.startswith(expected) and " faces/s" in first
    assert first.endswith(" left") == (total is not None)
    assert "\r" not in first


def test_bytes_are_counted_in_larger_units(capsys, monkeypatch):
    monkeypatch.setattr(module, "LOG_SECONDS", 0.0)
    with progress(4_000_000, "B", "fetching", unit_scale=True) as bar:
        bar.update(2_000_000)
    assert capsys.readouterr().err.startswith("fetching: 2.00M of 4.00M (50 %), ")


def test_lines_are_a_minute_apart(capsys, monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    with progress(100, " faces", "drawing") as bar:
        bar.printed = now[0]
        for _ in range(100):
            now[0] += 2.0
            bar.update()
    assert len(capsys.readouterr().err.splitlines()) == 3  # after 60, 120 and 180 of 200 s


@pytest.mark.parametrize("stderr", [None, "closed"])
def test_a_closed_stderr_stops_nothing(stderr, monkeypatch):
    stream = io.StringIO()
    stream.close()
    monkeypatch.setattr(sys, "stderr", stream if stderr else None)
    monkeypatch.setattr(module, "LOG_SECONDS", 0.0)
    with progress(10, " faces", "drawing") as bar:
        bar.update()
