"""The tables that are made from the code are those of the code."""

from __future__ import annotations

import pytest

from preprocess.shell.exit_codes import ExitCode
from tests.docs.blocks import documents
from tests.docs.generate import tables_in, with_tables
from tests.docs.tables import TABLES
from trainer.config.keys import KEYS

WITH_TABLES = [path for path in documents() if tables_in(path.read_text(encoding="utf-8"))]


@pytest.mark.parametrize("path", WITH_TABLES, ids=lambda path: path.name)
def test_a_page_has_the_tables_of_the_present_code(path):
    text = path.read_text(encoding="utf-8")
    assert text == with_tables(text), "run `python -m tests.docs.generate`"


def test_every_table_is_on_one_page():
    found = [name for path in WITH_TABLES for name in tables_in(path.read_text(encoding="utf-8"))]
    assert sorted(found) == sorted(TABLES)


def test_the_tables_have_every_code_and_key():
    codes, keys = TABLES["exit-codes"](), TABLES["configuration"]()
    assert all(f"| {int(code)} | `{code.name}` |" in codes for code in ExitCode)
    assert all(f"| `{name}` |" in keys for name in KEYS)


def test_a_changed_table_is_written_and_the_text_around_it_kept():
    page = "before\n<!-- table: exit-codes -->\nold\n<!-- end of table -->\nafter\n"
    made = with_tables(page)
    assert made.startswith("before\n") and made.endswith("\nafter\n")
    assert "old" not in made and "| 64 | `USAGE` |" in made
