"""A folder as a table, here one of three modules made for it."""

import pytest

from preprocess.shell import entries
from preprocess.shell.entries import Entries
from preprocess.shell.errors import ConfigError


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(entries, "ROOT", tmp_path)
    made = tmp_path / "shop" / "wares"
    made.mkdir(parents=True)
    (made / "__init__.py").touch()
    (made / "pear.py").write_text('"""A fruit.\n\nGreen."""\nimport nothing.at_all\nWEIGHT = 3\n')
    (made / "apple.py").write_text('"""Another fruit."""\nWEIGHT: int = 2\n')
    (made / "scales.py").write_text('"""Weighs fruit."""\ndef f():\n    WEIGHT = 1\n')
    return made


def test_every_module_is_an_entry_but_those_named(folder):
    assert Entries("ware", "shop.wares").names() == ("apple", "pear", "scales")
    assert Entries("ware", "shop.wares", "scales").names() == ("apple", "pear")


def test_modules_that_define_a_name_are_entries(folder):
    """Not those with a variable of that name in a function."""
    assert Entries("ware", "shop.wares", defining="WEIGHT").names() == ("apple", "pear")


def test_what_an_entry_says_is_read_without_importing_it(folder):
    table = Entries("ware", "shop.wares")
    assert table.summary("pear") == "A fruit"
    assert table.constant("pear", "WEIGHT") == 3
    assert table.constant("scales", "WEIGHT", default=0) == 0


def test_an_unknown_entry_is_refused_with_the_near_one_and_all_others(folder):
    with pytest.raises(ConfigError, match=r"ware='pera'.*'pear'\?\); known are apple, pear"):
        Entries("ware", "shop.wares").module("pera")
