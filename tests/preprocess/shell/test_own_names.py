"""A user's own preprocess.py, trainer.py and launch.py in the current folder."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
import tomllib

import pytest

from preprocess.shell.own_names import ROOT, keep_names

# What the console command that pip installs does, with the folder of the script first on the path.
CONSOLE = "import sys; sys.argv[0] = 'x'; from {0}.__main__ import main; sys.exit(main())"


@pytest.fixture
def folder(tmp_path):
    for name in ("preprocess", "trainer", "launch"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('the file of the user')\n")
    (tmp_path / "mine.py").write_text("KIND = 1\n")
    return tmp_path


def run(folder, *command):
    environment = {**os.environ, "PYTHONPATH": ROOT}
    done = subprocess.run(
        [sys.executable, *command], cwd=folder, env=environment, capture_output=True, text=True
    )
    assert "the file of the user" not in done.stderr
    return done


@pytest.mark.parametrize("package", ["preprocess", "trainer", "launch"])
def test_the_console_command_is_ours(folder, package):
    done = run(folder, "-P", "-c", CONSOLE.format(package), "--help")
    assert done.returncode == 0, done.stderr
    assert f"python -m {package} COMMAND" in done.stdout


@pytest.mark.parametrize("package", ["preprocess", "trainer", "launch"])
def test_started_as_a_script_our_rooms_hide_no_module_of_pythons(folder, package):
    """Python puts the folder of a script first on the path, and preprocess has a room `inspect`."""
    done = run(folder, os.path.join(ROOT, package, "__main__.py"), "--help")
    assert done.returncode == 0, done.stderr
    assert f"python -m {package} COMMAND" in done.stdout


def test_a_module_of_the_users_is_found_in_the_current_folder(folder):
    arguments = ["plan", "--source=mine:KIND", "--images=.", "--output=out"]
    done = run(folder, "-P", "-c", CONSOLE.format("preprocess"), *arguments)
    assert done.returncode == 64
    assert "mine:KIND is a int, not a SourceKind" in done.stderr


def test_what_is_started_finds_our_packages_first(folder):
    environment = {"PYTHONPATH": f"{folder}{os.pathsep}/elsewhere"}
    path = ["", str(folder), "/usr/lib/python"]
    keep_names(path, environment, str(folder))
    assert path == [ROOT, "/usr/lib/python", str(folder)]
    assert environment["PYTHONPATH"].split(os.pathsep) == [ROOT, "/elsewhere", str(folder)]
    child = [sys.executable, "-m", "preprocess", "--help"]
    done = subprocess.run(child, cwd=folder, env=environment, capture_output=True, text=True)
    assert "python -m preprocess COMMAND" in done.stdout, done.stderr


def test_every_console_command_of_the_package_can_be_called():
    with open(f"{ROOT}/pyproject.toml", "rb") as file:
        scripts = tomllib.load(file)["project"]["scripts"]
    assert set(scripts) == {f"shardline-{name}" for name in ("preprocess", "trainer", "launch")}
    for place in scripts.values():
        module, _, name = place.partition(":")
        assert callable(getattr(importlib.import_module(module), name))
