"""The documents' own commands, run as they stand: README.md's quick start, docs/quickstart.md's
steps, and what docs/after-training.md loads of their model.

What builds and trains in the quick start starts as a user's command does; the others are forked.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests import forked
from tests.docs.blocks import ROOT, named_block
from tests.trainer import datasets

# A dozen commands: minutes where the machine is busy.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


def run(folder: Path, *arguments: str) -> str:
    """What an interpreter that starts as a user's does prints, in a folder."""
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{arguments}\n{done.stdout}\n{done.stderr}"
    assert "Traceback" not in done.stderr
    return done.stdout


def run_forked(folder: Path, *arguments: str) -> None:
    """The same for `-m MODULE ...`, by a process that has imported TensorFlow already."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = forked.run([sys.executable, *arguments], cwd=folder, env=environment, timeout=1800)
    assert done.returncode == 0, f"{arguments}\n{done.stdout}\n{done.stderr}"
    assert "Traceback" not in done.stderr


def run_mostly_forked(folder: Path, *arguments: str) -> None:
    """A command that builds or trains as a user's starts, the others as `run_forked` has it."""
    command = run if {"build", "train"} & set(arguments) else run_forked
    command(folder, *arguments)


def run_block(folder: Path, name: str, command: Callable[..., object]) -> None:
    """Every line of a block."""
    for line in named_block(name).commands():
        python, *arguments = shlex.split(line)
        assert python == "python"
        command(folder, *arguments)


def test_the_quick_start_on_ones_own_pictures_ends_with_something_to_look_at(tmp_path):
    for number in range(60):
        bright = number % 2 == 0
        path = tmp_path / "photos" / ("bright" if bright else "dark") / f"{number:02d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        datasets.picture(bright, number, (64, 48)).save(path)
    run_block(tmp_path, "quick start", run_mostly_forked)
    assert (tmp_path / "preview.png").stat().st_size > 10_000
    assert (tmp_path / "run" / "report.html").stat().st_size > 100_000
    predictions = (tmp_path / "predictions.csv").read_text(encoding="utf-8").splitlines()
    assert len(predictions) == 61


@pytest.fixture(scope="module")
def after_all_steps(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("steps")
    (folder / "trainer").symlink_to(ROOT / "trainer")
    run_block(folder, "step by step", run_forked)
    return folder


def test_the_steps_leave_what_the_page_names(after_all_steps):
    assert len(named_block("step by step").commands()) >= 9
    assert (after_all_steps / "run" / "report.html").stat().st_size > 100_000
    assert (after_all_steps / "preview.png").stat().st_size > 10_000
    odd = (after_all_steps / "odd.csv").read_text(encoding="utf-8").splitlines()
    assert len(odd) == 901


def test_the_exported_model_serves_as_shown(after_all_steps):
    assert "shape=(1, 16)" in run(after_all_steps, "-c", named_block("serving").text)
