"""What is recorded of a user's source, and when it is another one."""

import hashlib
import sys

import pytest

from preprocess.shell.reference_source import source_changes, source_file, source_record


def sha256(text):
    return hashlib.sha256(text.encode()).hexdigest()


FILES = {
    "part.py": "import os, json, helper\nfrom tools.colours import mix\nimport not_there\n",
    "helper.py": "import deeper\n",
    "deeper.py": "import part\n",
    "unused.py": "X = 1\n",
    "tools/__init__.py": "",
    "tools/colours.py": "from .shades import X\nfrom . import more\n",
    "tools/shades.py": "",
    "tools/more.py": "",
}
IMPORTED = {name for name in FILES if name not in ("part.py", "unused.py")}


@pytest.fixture
def folder(tmp_path):
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def test_a_record_has_the_file_and_all_it_imports_from_beside_it(folder):
    record = source_record(f"{folder}/part.py:f")
    assert record["reference"] == f"{folder}/part.py:f"
    assert record["sha256"] == sha256(FILES["part.py"])
    assert record["imports"] == {name: sha256(FILES[name]) for name in IMPORTED}


def test_a_module_is_found_without_being_imported(folder, monkeypatch):
    monkeypatch.syspath_prepend(str(folder))
    (folder / "tools" / "__init__.py").write_text("raise SystemExit")
    assert source_file("tools.colours:mix") == folder / "tools" / "colours.py"
    record = source_record("tools.colours:mix")
    assert set(record["imports"]) == {"tools/__init__.py", "tools/shades.py", "tools/more.py"}
    assert "tools" not in sys.modules
    assert source_record("nowhere.at.all:f") == {"reference": "nowhere.at.all:f", "sha256": None}


@pytest.mark.parametrize("name", ["part.py", "deeper.py", "tools/more.py"])
def test_a_change_of_any_of_them_is_another_source(folder, name):
    before = {"loss.name": source_record(f"{folder}/part.py:f")}
    assert source_changes(before, before) == []
    (folder / name).write_text(FILES[name] + "\nX = 2\n")
    now = {"loss.name": source_record(f"{folder}/part.py:f")}
    assert source_changes(before, now) == [f"loss.name ({name})"]


def test_what_is_not_imported_and_where_the_folder_is_do_not_matter(folder, tmp_path):
    before = {"key": source_record(f"{folder}/part.py:f")}
    (folder / "unused.py").write_text("X = 2\n")
    elsewhere = folder.rename(folder.with_name("elsewhere"))
    assert source_changes(before, {"key": source_record(f"{elsewhere}/part.py:f")}) == []


@pytest.mark.parametrize(
    "before", [None, [], {"key": 3}, {"key": {}}, {"key": {"sha256": 1, "imports": 2}}]
)
def test_records_of_others_may_hold_anything(folder, before):
    now = {"key": source_record(f"{folder}/helper.py:f")}
    assert [change.partition(" ")[0] for change in source_changes(before, now)] in ([], ["key"])
