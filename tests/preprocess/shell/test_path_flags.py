"""`~` in the flags of all three packages."""

from __future__ import annotations

import ast
import os
from pathlib import Path

import pytest
from absl import flags

from preprocess.shell.path_flags import define_path, define_paths, expanded, expanded_words
from tests.preprocess import made

ROOT = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def home(monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")


@pytest.mark.parametrize(
    ("path", "whole"),
    [
        ("~/data", "/home/me/data"),
        ("~", "/home/me"),
        ("~root/x", os.path.expanduser("~root/x")),
        ("a/~/b", "a/~/b"),
        ("./~", "./~"),
        ("gs://bucket/~x", "gs://bucket/~x"),
        ("", ""),
    ],
)
def test_a_leading_tilde_is_a_home_folder(path, whole):
    assert expanded(path) == whole


@pytest.mark.parametrize("path", ["~nobody-of-this-name/x", "~$draft"])
def test_a_user_that_there_is_not_is_refused_with_the_way_out(path):
    with pytest.raises(ValueError, match=r"no such user's home folder.*\./~"):
        expanded(path)


def test_flags_of_one_path_and_of_several_expand_it():
    # absl registers in the process-wide table; these names are of no command.
    one = define_path("test_path_flags_one", None, "One.")
    several = define_paths("test_path_flags_several", None, "Several.")
    try:
        # Each by itself: other modules may have defined flags that are required.
        flags.FLAGS[one.name].parse("~/a")
        flags.FLAGS[several.name].parse("~/b,c")
        flags.FLAGS.mark_as_parsed()
        assert (one.value, several.value) == ("/home/me/a", ["/home/me/b", "c"])
    finally:
        for name in (one.name, several.name):
            delattr(flags.FLAGS, name)


def test_the_words_for_a_worker_on_this_machine_are_expanded():
    words = ["--workdir=~/run", "--config=demo", "--note=~", "~/x", "--config.model.weights=~/w.h5"]
    assert expanded_words(words) == [
        *("--workdir=/home/me/run", "--config=demo", "--note=~", "~/x"),
        "--config.model.weights=/home/me/w.h5",
    ]


# Of these the help speaks of files, but the value is no path.
NO_PATHS = {"source", "splits", "columns", "features", "host", "trust"}


def test_every_flag_that_names_a_file_or_folder_expands_it():
    found = []
    for package in ("preprocess", "trainer", "launch"):
        for path in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
                    continue
                if node.func.attr not in ("DEFINE_string", "DEFINE_list", "DEFINE_multi_string"):
                    continue
                text = " ".join(
                    n.value
                    for n in ast.walk(node)
                    if isinstance(n, ast.Constant) and isinstance(n.value, str)
                )
                name, _, help_text = text.partition(" ")
                words = ("folder", "directory", " file", "table of", "journal")
                if name not in NO_PATHS and any(word in help_text.lower() for word in words):
                    found.append(f"{path.relative_to(ROOT)}: --{name}: {help_text[:60]}")
    assert found == []


def test_a_plan_reads_below_the_home_folder_and_makes_no_folder_called_tilde(tmp_path):
    for name in ("a", "b"):
        made.save(tmp_path / "in" / name / "1.jpg")
    done = made.forked.run(
        made.command("plan", "--images=~/in", "--output=~/dataset"),
        cwd=tmp_path,
        env={**made.environment(), "HOME": str(tmp_path)},
    )
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "~").exists()
