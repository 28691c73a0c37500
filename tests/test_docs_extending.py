"""docs/extending.md: its files, put where it says, pass their tests and train together."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests import own_examples
from tests.own_examples import files
from tests.trainer import datasets

ROOT = Path(__file__).parents[1]
LONGEST = 25  # lines of an example of a user's own code
COPIED = ("preprocess", "trainer", "launch", "k8s", "tests", "pyproject.toml")


@pytest.fixture(scope="module")
def extended(tmp_path_factory) -> Path:
    """A copy of the project with the files of the document in it."""
    copy = tmp_path_factory.mktemp("extended")
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, copy / name)
    for path, content in files().items():
        assert not (copy / path).exists(), f"{path} is there without the example"
        (copy / path).parent.mkdir(exist_ok=True)
        (copy / path).write_text(content, encoding="utf-8")
    return copy


def run(project: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`python -m ARGUMENTS` in a folder whose packages are the ones imported."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith("TF_")}
    return subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=project,
        env={**plain, "PYTHONPATH": str(project)},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def test_every_example_comes_with_its_test():
    paths = [path for path in files() if not path.startswith(own_examples.OWN)]
    added = [path for path in paths if not path.startswith("tests/")]
    assert added
    assert len(paths) == 2 * len(added)


def test_the_examples_of_own_code_are_short():
    lengths = {path: len(text.splitlines()) for path, text in own_examples.own_files().items()}
    assert lengths
    assert {path: lines for path, lines in lengths.items() if lines > LONGEST} == {}


def test_the_tests_of_the_examples_pass(extended):
    tests = [path for path in files() if path.startswith("tests/")]
    done = run(extended, "pytest", "-p", "no:cacheprovider", *tests)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]


def test_the_examples_build_together_and_are_listed(extended, tmp_path):
    """Three pictures by the example's source, under a recipe of the example's operation."""
    pictures = datasets.write_folders(tmp_path / "pictures")
    names = ["train/bright/00.png", "train/dark/01.png", "train/dark/03.png"]
    table = tmp_path / "pictures.jsonl"
    rows = [{"file": name, "label": name.split("/")[1]} for name in names]
    table.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("version: 1\noperations: [{posterize: {probability: 1, bits: 3}}]\n")
    place = [f"--csv={table}", f"--images={pictures}", f"--output={tmp_path / 'dataset'}"]
    flags = [f"--recipe={recipe}", "--variants=2", "--workers=1", "--json"]
    done = run(extended, "preprocess", "build", *place, *flags)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["pictures"] == 3
    drawn = run(extended, "preprocess", "explain", str(tmp_path / "dataset"), names[0], "1")
    assert "posterize" in drawn.stdout
    listed = run(extended, "preprocess", "build", "--help").stdout
    for words in ("jsonl: lines", "posterize: Keeps only the highest bits"):
        assert words in listed


def test_the_example_of_a_back_end_renders_a_run_and_is_listed(extended):
    flags = ["--backend=pbs", "--name=fec", "--", "--config=demo", "--data=/d", "--workdir=/r"]
    done = run(extended, "launch", "render", "train", *flags)
    assert done.returncode == 0, done.stderr
    assert "#PBS -N fec" in done.stdout
    assert "pbs: batch jobs of PBS" in " ".join(
        run(extended, "launch", "train", "--help").stdout.split()
    )


def test_the_examples_train_together_and_are_listed(extended, tmp_path):
    """By their names alone, through the command that a user starts."""
    data = datasets.class_folders(tmp_path)
    config = datasets.write_config(
        tmp_path / "config.py", datasets.CLASSIFICATION, augment__enabled=True, epochs=1
    )
    changes = {
        "loss.name": "smoothed",
        "loss.args.smoothing": "0.2",
        "augment.invert": "0.25",
        "model.backbone": "patches:8",
        "optimizer.name": "signdescent",
    }
    flags = [f"--config.{name}={value}" for name, value in changes.items()]
    place = [f"--config={config}", f"--data={data}", f"--workdir={tmp_path / 'run'}"]
    done = run(extended, "trainer", "train", *place, *flags, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["steps"] == 3
    keys = run(extended, "trainer", "presets", "--keys").stdout
    for words in ("smoothed (classification)", "augment.invert", "patches:SIDE", "signdescent"):
        assert words in keys


@pytest.mark.integration  # tests/trainer/training/test_own_examples.py trains them in process
def test_the_users_own_code_trains_as_its_examples_say(extended, tmp_path):
    """With the flags that follow the examples, all at once, by the command."""
    data = datasets.class_folders(tmp_path)
    config = datasets.write_config(tmp_path / "config.py", datasets.CLASSIFICATION, epochs=1)
    flags = [f"--config.{key}={value}" for key, value in own_examples.own_flags()]
    assert all(any(path in flag for flag in flags) for path in own_examples.own_files())
    place = [f"--config={config}", f"--data={data}", f"--workdir={tmp_path / 'run'}"]
    done = run(extended, "trainer", "train", *place, *flags, "--json")
    assert done.returncode == 0, done.stderr
    assert "own code tried on a batch" in done.stderr
    assert "val_worst_class_error" in json.loads(done.stdout)["metrics"]["last"]
    recorded = json.loads((tmp_path / "run" / "config.json").read_text())["references"]
    assert len(recorded) == sum(flag.count(".py:") for flag in flags)
