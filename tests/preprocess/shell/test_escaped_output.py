"""Nothing that comes from outside steers the terminal, and nothing else is changed."""

from __future__ import annotations

import io
import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from preprocess.shell.escaped_output import EscapedStream, escaped, has_controls
from preprocess.shell.json_text import json_text

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b]52;c;cm0=\x07", r"\u001b]52;c;cm0=\u0007"),  # fills the clipboard
        ("\x9b2J", r"\u009b2J"),  # the same as ESC [ in one character
        ("safe\rrm", r"safe\u000drm"),  # overwrites the line
        ("gpj\u202eexe", r"gpj\u202eexe"),  # shown backwards
        ("a\x7fb\x00", r"a\u007fb\u0000"),
        ("name-\udcff", r"name-\udcff"),  # a byte of a file name that is no UTF-8
    ],
)
def test_what_steers_a_terminal_is_shown_as_an_escape(text, shown):
    assert escaped(text) == shown
    assert has_controls(text)


@pytest.mark.parametrize("text", ["a b\tc\nd", "Zürich 東京 🙂", r"a\u001b", "\N{NO-BREAK SPACE}"])
def test_all_other_text_is_as_it_was(text):
    assert escaped(text) == text


def test_a_flag_or_path_with_a_line_feed_is_found_too():
    assert has_controls("a\nb")
    assert has_controls("a\tb")
    assert not has_controls("Zürich 東京")


def test_escaped_json_has_the_same_value():
    value = {"name": "\x1b[2J\x7f\x9b\u202e", "path": "\udcff"}
    assert json.loads(escaped(json_text(value))) == value


def test_a_stream_escapes_whatever_way_it_is_written_to():
    behind = io.StringIO()
    stream = EscapedStream(behind)
    assert stream.write("\x1b") == 1
    stream.writelines(["\x07", "b\n"])
    print("\x9b", file=stream)
    assert behind.getvalue() == "\\u001b\\u0007b\n\\u009b\n"
    assert not stream.isatty()


def on_a_terminal(*command: str) -> bytes:
    """What a terminal is sent by a command that is started on it."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        command, stdin=theirs, stdout=theirs, stderr=theirs, cwd=ROOT, close_fds=True
    ) as process:
        os.close(theirs)
        sent = b""
        while True:
            try:
                part = os.read(ours, 65536)
            except OSError:  # the last of the other end is closed
                break
            if not part:
                break
            sent += part
        process.wait()
    os.close(ours)
    return sent


@pytest.mark.parametrize(
    "words",
    [
        ("preprocess", "info", "no\x1b]52;c;cm0=\x07such"),
        ("launch", "status", "no\x9b2Jsuch"),
        ("trainer", "no\x1b[2Jcommand"),
        ("launch", "train", "--no\x1b[2Jflag"),
    ],
    ids=lambda words: words[0],
)
def test_no_command_sends_what_it_was_given_to_the_terminal_unescaped(words):
    sent = on_a_terminal(sys.executable, "-m", *words)
    assert b"\\u00" in sent
    assert b"\x1b" not in sent
    assert "\x9b".encode() not in sent


def test_a_progress_bar_still_draws_over_itself_on_a_terminal():
    code = (
        "from preprocess.shell.escaped_output import escape_output\n"
        "from preprocess.shell.progress import progress\n"
        "escape_output()\n"
        "with progress(2, ' steps', 'working') as bar: bar.update(2)\n"
    )
    sent = on_a_terminal(sys.executable, "-c", code)
    assert b"\rworking: 100%" in sent
    assert b"\\u000d" not in sent
