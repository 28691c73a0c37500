"""Recordings of commands, and the animated pictures made of them."""

from __future__ import annotations

import sys
import xml.etree.ElementTree as ET

import pytest

from tests.docs.film import film
from tests.docs.pictures import LONGEST_PAUSE, READING, SIZE, arguments, frames
from tests.docs.recording import Recording, Screen, record

SVG = "{http://www.w3.org/2000/svg}"


def test_a_screen_shows_the_last_text_of_a_progress_bar_and_wraps():
    screen = Screen(columns=10)
    screen.write("50%\r100%\n0123456789abc")
    assert screen.lines == ["100%", "0123456789", "abc"]


def test_a_recording_has_the_text_of_stdout_and_stderr(tmp_path):
    program = "import sys; print('out'); print('err', file=sys.stderr)"
    made = record("python", [sys.executable, "-c", program], tmp_path, SIZE)
    assert "".join(text for _, text in made.pieces).split() == ["out", "err"]


def test_a_command_that_fails_is_not_recorded(tmp_path):
    with pytest.raises(RuntimeError, match="exit code 3"):
        record("python", [sys.executable, "-c", "raise SystemExit(3)"], tmp_path, SIZE)


def test_long_pauses_are_cut():
    """The command appears, and after 1 s its two lines, each after the longest pause."""
    made, end = frames([Recording("python x", ((100.0, "a\n"), (200.0, "b\n")), 200.0)])
    assert [start for start, _ in made] == [0.0, 1.0 + LONGEST_PAUSE, 1.0 + 2 * LONGEST_PAUSE]
    assert made[-1][1][:3] == ["$ python x", "a", "b"]
    assert end == made[-1][0] + READING


def test_a_film_is_an_svg_with_a_group_for_each_frame():
    text = film([(0.0, ["$ a <b>"]), (1.0, ["$ a <b>", "c"])], (20, 3), 2.0)
    groups = ET.fromstring(text).findall(f"{SVG}g")
    shown = [[line.text for line in group] for group in groups]
    assert shown == [["$ a <b>"], ["$ a <b>", "c"]]
    assert "@keyframes k1{0%{visibility:hidden}50.000%{visibility:visible}" in text


def test_commands_run_under_this_interpreter():
    assert arguments("python -m trainer check --config.model.weights=''")[1:] == [
        "-m",
        "trainer",
        "check",
        "--config.model.weights=",
    ]
