"""Names of the user's own code: what they refer to, and what is said where they do not."""

import subprocess
import sys
import textwrap

import pytest

from preprocess.shell.blame import described, place_of
from preprocess.shell.errors import ConfigError, UsageError
from preprocess.shell.own_names import ROOT
from preprocess.shell.references import (
    absolute_reference,
    is_reference,
    load_function,
    load_reference,
)


@pytest.fixture(autouse=True)
def imports(monkeypatch):
    """What a test imports is forgotten after it."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        del sys.modules[name]


def write(folder, **files):
    folder.mkdir(exist_ok=True)
    for name, text in files.items():
        (folder / f"{name}.py").write_text(textwrap.dedent(text))
    return folder


@pytest.mark.parametrize("text", ["a.py:f", "/a b/c.py:F", "../a.py:f", "a:f", "a.b_c:f1"])
def test_files_and_modules_with_a_name_are_references(text):
    assert is_reference(text)


@pytest.mark.parametrize(
    "text", ["", "cnn", "a.py", "a.py:", ":f", "a.py:f.g", "a:1", "hub:gs://a/b", "a:b:c", "a-b:c"]
)
def test_other_texts_are_none(text):
    assert not is_reference(text)


def test_paths_become_absolute_and_modules_stay(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/somebody")
    assert absolute_reference("a/b.py:f") == f"{tmp_path}/a/b.py:f"
    assert absolute_reference("~/b.py:f") == "/home/somebody/b.py:f"
    assert absolute_reference("a.b:f") == "a.b:f"


def test_a_file_imports_its_neighbours_at_once_and_later(tmp_path):
    folder = write(
        tmp_path / "user",
        first="import second\ndef late():\n    import third\n    return second.X + third.X\n",
        second="X = 1\n",
        third="X = 10\n",
    )
    assert load_reference(f"{folder}/first.py:late", "key")() == 11
    assert sys.path[0] != str(folder)


def test_two_folders_keep_their_own_neighbours(tmp_path):
    """Both have a helper.py, and a file of the name that a module of Python's has."""
    loaded = {}
    for name in ("one", "two"):
        text = "import helper\ndef f():\n    return helper.NAME\n"
        folder = write(tmp_path / name, part=text, types=text, helper=f"NAME = '{name}'\n")
        loaded[name] = [
            load_reference(f"{folder}/{file}.py:f", "key") for file in ("part", "types")
        ]
    assert {name: [f() for f in found] for name, found in loaded.items()} == {
        "one": ["one", "one"],
        "two": ["two", "two"],
    }
    import types

    assert not hasattr(types, "helper")


def test_a_file_is_one_module_for_references_and_neighbours(tmp_path):
    folder = write(tmp_path / "user", a="import b\ndef f():\n    return b.f\n", b="def f(): 0\n")
    for order in (("a", "b"), ("b", "a")):
        again = write(
            tmp_path / "".join(order), **{n: (folder / f"{n}.py").read_text() for n in "ab"}
        )
        found = {name: load_reference(f"{again}/{name}.py:f", "key") for name in order}
        assert found["a"]() is found["b"]


def test_a_module_is_found_in_the_current_folder_of_a_command(tmp_path):
    folder = write(tmp_path / "user", part="import other\nKIND = other.KIND\n", other="KIND = 3\n")
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "preprocess",
            "plan",
            "--source=part:KIND",
            "--images=.",
            "--output=o",
        ],
        cwd=folder,
        env={"PYTHONPATH": ROOT, "PATH": ""},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 64
    assert "part:KIND is a int, not a SourceKind" in done.stderr


MISTAKES = [
    ("def f(:\n", r"key: /\S+/part.py, line 1: SyntaxError: "),
    ("X = 1\nimport nothing_of_this_name\n", r"/part.py, line 2: ModuleNotFoundError: No module"),
    ("\n\nX = 1 / 0\n", r"/part.py, line 3: ZeroDivisionError: division by zero"),
    ("import other\n", r"/other.py, line 2: ValueError: two$"),
    ("import sys\nsys.exit(3)\n", r"/part.py, line 2: SystemExit: 3"),
    ("net = 1\n", r"key=\S+part.py:f: '\S+/part.py' has no f$"),
    ("def ff(): 0\n", r"has no f \(did you mean 'ff'\?\)"),
]


@pytest.mark.parametrize(("text", "message"), MISTAKES)
def test_a_mistake_is_one_line_with_the_users_file_and_line(tmp_path, text, message):
    folder = write(tmp_path / "user", part=text, other="X = 1\nraise ValueError('two\\nlines')\n")
    with pytest.raises(UsageError, match=message) as caught:
        load_reference(f"{folder}/part.py:f", "key", UsageError)
    assert "\n" not in str(caught.value)


def test_what_is_not_there_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"key=\S+none.py:f: no such file"):
        load_reference(f"{tmp_path}/none.py:f", "key")
    with pytest.raises(ConfigError, match=r"no module 'nowhere' here; name its file"):
        load_reference("nowhere.part:f", "key")


def test_a_file_that_failed_can_be_mended(tmp_path):
    folder = write(tmp_path / "user", part="raise ValueError\n")
    with pytest.raises(ConfigError):
        load_reference(f"{folder}/part.py:f", "key")
    write(folder, part="def f():\n    return 'mended'\n")
    assert load_reference(f"{folder}/part.py:f", "key")() == "mended"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("def f(): 0\n", "too many positional arguments; it is called as f(given, size)"),
        ("def f(given): 0\n", "unexpected keyword argument 'size'"),
        ("def f(given, size, more): 0\n", "missing a required argument: 'more'"),
        ("f = 3\n", "is a int; it is called as f(given, size)"),
    ],
)
def test_what_cannot_be_called_says_how_it_is(tmp_path, text, message):
    folder = write(tmp_path / "user", part=text)
    with pytest.raises(ConfigError) as caught:
        load_function(f"{folder}/part.py:f", "key", ("given",), {"size": 3}, "key_args")
    assert message in str(caught.value)


def test_the_line_of_the_user_is_found_below_frames_of_others(tmp_path):
    folder = write(
        tmp_path / "user", part="def f(call):\n    return call()\ndef g():\n    return {}['x']\n"
    )
    f, g = (load_reference(f"{folder}/part.py:{name}", "key") for name in "fg")
    with pytest.raises(KeyError) as caught:
        f(lambda: f(g))
    assert described(caught.value) == f"{folder}/part.py, line 4: KeyError: 'x'"
    with pytest.raises(ZeroDivisionError) as caught:
        f(lambda: 1 / 0)
    assert (
        described(caught.value) == f"{folder}/part.py, line 2: ZeroDivisionError: division by zero"
    )


def test_an_error_without_the_users_files_is_nobodys_mistake():
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        int("x")
    assert place_of(caught.value) is None
