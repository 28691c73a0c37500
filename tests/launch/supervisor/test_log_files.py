"""Which lines of the attempts' logs are shown."""

from __future__ import annotations

import tempfile
from unittest import mock

from hypothesis import given
from hypothesis import strategies as st

from launch.runs.status import LogQuery
from launch.supervisor import log_files
from launch.supervisor.attempts import Attempts
from launch.supervisor.log_files import read_logs


@given(
    lines=st.lists(st.text("ab", max_size=5), max_size=9),
    unfinished=st.sampled_from(["", "x"]),
    tail=st.integers(1, 10),
    chunk=st.integers(12, 40),
)
def test_the_last_lines_of_a_log_are_found_from_its_end(lines, unfinished, tail, chunk):
    """A chunk is longer than any line, as it is in use but for lines that are cut."""
    with tempfile.TemporaryDirectory() as folder, mock.patch.object(log_files, "CHUNK", chunk):
        attempts = Attempts(folder)
        attempts.attempt(0).mkdir()
        attempts.log(0, 0).write_text("".join(f"{line}\n" for line in lines) + unfinished)
        found = [line.text for line in read_logs([attempts], LogQuery(tail=tail), bool)]
        assert found == [*lines, *filter(None, [unfinished])][-tail:]


def test_followed_from_the_last_line_everything_later_is_shown(tmp_path, monkeypatch):
    """A line of the same attempt, then the next attempt from its beginning."""
    monkeypatch.setattr(log_files, "POLL_SECONDS", 0.0)
    attempts = Attempts(tmp_path)
    attempts.attempt(0).mkdir()
    attempts.log(0, 0).write_text("one\ntwo\n")
    texts, looked = [], []

    def finished() -> bool:
        looked.append(1)
        if len(looked) == 2:
            with open(attempts.log(0, 0), "a") as log:
                log.write("three\n")
        if len(looked) == 3:
            attempts.attempt(1).mkdir()
            attempts.log(1, 0).write_text("four\nfive")  # of a worker that was killed
        return len(looked) == 4

    for line in read_logs([attempts], LogQuery(follow=True, tail=1), finished):
        texts.append(line.text)
    assert texts == ["two", "three", "four", "five"]
