"""The table of exit codes is a contract with whatever starts our commands."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import pytest

from preprocess.shell import errors
from preprocess.shell.exit_codes import FINAL, UNCOUNTED, ExitCode


def test_what_is_final_and_what_is_never_counted():
    assert sorted(FINAL) == [64, 65, 70, 78]
    assert sorted(UNCOUNTED) == [75, 76]


def test_the_numbers_are_those_of_the_system_where_it_has_one():
    of_system = {
        ExitCode.DONE: os.EX_OK,
        ExitCode.USAGE: os.EX_USAGE,
        ExitCode.DATA: os.EX_DATAERR,
        ExitCode.UNAVAILABLE: os.EX_UNAVAILABLE,
        ExitCode.DIVERGED: os.EX_SOFTWARE,
        ExitCode.STORAGE: os.EX_IOERR,
        ExitCode.SAVED: os.EX_TEMPFAIL,
        ExitCode.CONFIG: os.EX_CONFIG,
    }
    assert all(ours == theirs for ours, theirs in of_system.items())


def test_nothing_is_counted_without_being_retried():
    assert not [code for code in ExitCode if code.counted and not code.retried]


def test_every_users_error_ends_with_a_code_of_the_table():
    for error in errors.UserError.__subclasses__():
        assert isinstance(error.exit_code, ExitCode), error


def test_a_process_can_exit_with_a_member():
    with pytest.raises(SystemExit) as ended:
        sys.exit(ExitCode.LOST_PEER)
    assert ended.value.code == 76 and f"{ExitCode.LOST_PEER}" == "76"


def test_the_documents_say_what_to_do_after_every_code_but_success_and_a_fault():
    """Rows of `| code | situation | next step |`; the table of codes itself is generated."""
    text = (Path(__file__).parents[3] / "docs" / "exit-codes.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| ([\d, ]+) \|", text.partition("## What to do")[2], re.MULTILINE)
    named = {int(code) for codes in rows for code in codes.split(",")}
    assert named == {int(code) for code in ExitCode} - {ExitCode.DONE, ExitCode.FAULT}
