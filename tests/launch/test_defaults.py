from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from launch.defaults import FILE, values
from preprocess.shell.errors import ConfigError
from tests.launch.made import IMAGE

ROOT = Path(__file__).parents[2]
NAMES = {"backend", "gpu", "workers", "max_restarts", "volume", "spot"}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / FILE


def test_a_verbs_own_section_wins(file):
    file.write_text("workers = 2\nspot = true\n[train]\nworkers = 4\n[search]\nworkers = 8\n")
    assert values(file, "train", NAMES) == {"workers": 4, "spot": True}
    assert values(file, "preprocess", NAMES) == {"workers": 2, "spot": True}


def test_names_are_written_with_either_dash(file):
    file.write_text("max-restarts = 1")
    assert values(file, "train", NAMES) == {"max_restarts": 1}


def test_without_a_file_nothing_is_set(file):
    assert values(file, "train", NAMES) == {}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("wrkers = 2", "'wrkers' (did you mean 'workers'?)"),
        ("[search]\ngqu = 2", "[search] unknown flag 'gqu' (did you mean 'gpu'?)"),
        ("[trian]\nworkers = 2", "[trian] (did you mean 'train'?)"),
        ("nothing_like_it = 1", "known are backend, gpu"),
        ("workers = ", "cannot be read"),
        ("[train]\nvolume = [[1]]", "must be text"),
        ("volume = 2026-01-01", "must be text"),
    ],
)
def test_a_mistake_is_named_with_what_was_meant(file, text, words):
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        values(file, "train", NAMES)
    assert words in str(caught.value)
    assert FILE in str(caught.value)


def render(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "launch", "render", "train", *arguments],
        cwd=folder,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_command_line_wins_over_the_file(file):
    file.write_text(
        f'backend = "job"\nimage = "{IMAGE}"\nworkers = 2\n[train]\nspot = true\n'
        'volume = ["runs:/runs", "data:/data"]\n'
    )
    job, *_ = yaml.safe_load_all(render(file.parent, "--workers=3", "--nospot").stdout)
    assert job["spec"]["parallelism"] == 3
    template = job["spec"]["template"]["spec"]
    assert "nodeSelector" not in template
    mounts = [mount["mountPath"] for mount in template["containers"][0]["volumeMounts"]]
    assert mounts[-2:] == ["/runs", "/data"]


@pytest.mark.parametrize("text", ['workers = "many"', 'backend = "kubernetes"', "wokers = 1"])
def test_a_value_that_no_flag_takes_ends_with_78(file, text):
    file.write_text(text)
    done = render(file.parent)
    assert done.returncode == 78
    assert FILE in done.stderr
    assert "Traceback" not in done.stderr
