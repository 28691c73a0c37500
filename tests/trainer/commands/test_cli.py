"""The command line's shell: help at once, and mistakes answered in a line."""

import json
import os
import subprocess
import sys

import pytest

from preprocess.shell.json_text import json_text
from tests.trainer import datasets

COMMANDS = ("train", "evaluate", "predict", "presets", "check", "search")


@pytest.mark.parametrize("arguments", [["--help"], *([name, "--help"] for name in COMMANDS)])
def test_help_is_on_stdout_and_nothing_else_is_said(arguments):
    done = datasets.command("trainer", *arguments)
    assert done.returncode == 0
    assert "python -m trainer" in done.stdout
    assert done.stderr == ""


@pytest.mark.parametrize("arguments", [["--help"], *([name, "--help"] for name in COMMANDS)])
def test_help_is_quick_and_imports_neither_tensorflow_nor_beam(arguments):
    """By processor time, for the machine may be busy."""
    code = (
        "import runpy, sys, time\n"
        f"sys.argv = ['trainer', *{arguments!r}]\n"
        "try:\n    runpy.run_module('trainer', run_name='__main__')\n"
        "except SystemExit as end:\n    assert not end.code, end.code\n"
        "heavy = {'tensorflow', 'keras', 'apache_beam', 'matplotlib', 'cv2', 'optuna'}\n"
        "heavy &= set(sys.modules)\n"
        "assert not heavy, heavy\n"
        "assert time.process_time() < 1, time.process_time()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=datasets.REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["trian"], os.EX_USAGE, ["trian", "did you mean 'train'", "evaluate"]),
        (["nonsense"], os.EX_USAGE, ["unknown command; commands are train"]),
        (["train", "--config=demo"], os.EX_USAGE, ["--data=... and --workdir=... is missing"]),
        (["train", "--dta=x"], os.EX_USAGE, ["dta"]),
        (
            ["train", "--data=d", "--workdir=w", "--config=demo", "stray"],
            os.EX_USAGE,
            ["'stray'", "--NAME=VALUE"],
        ),
        (
            ["train", "--data=d", "--workdir=w", "--config=demo", "--config.batchsize=4"],
            os.EX_CONFIG,
            ["batchsize", "batch_size"],
        ),
        (
            ["train", "--data=d", "--workdir=w", "--config=demo", "--config.epochs=many"],
            os.EX_CONFIG,
            ["epochs", "many"],
        ),
        (
            ["train", "--data=d", "--workdir=w", "--config=dmo"],
            os.EX_CONFIG,
            ["dmo", "demo"],
        ),
        (
            ["evaluate", "--data=d", "--workdir=w,w"],
            os.EX_USAGE,
            ["twice", "w,w"],
        ),
        (
            ["evaluate", "--data=d", "--workdir=w", "--average=median"],
            os.EX_USAGE,
            ["median", "logits"],
        ),
    ],
)
def test_a_mistake_is_answered_in_one_or_two_lines(arguments, code, words):
    done = datasets.command("trainer", *arguments)
    assert done.returncode == code, done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    assert 1 <= len(done.stderr.strip().splitlines()) <= 2, done.stderr
    for word in words:
        assert word in done.stderr


def test_presets_are_a_line_each():
    done = datasets.command("trainer", "presets")
    names = [line.split()[0] for line in done.stdout.splitlines() if line.strip()]
    presets = {"demo", "fec_triplet", "fec_triplet_augmented", "image_folder", "mnist_mlp"}
    assert presets <= set(names)


def test_json_has_null_for_what_is_no_number():
    value = {"b": float("nan"), "a": [1.5, float("inf"), {"c": -float("inf")}], "d": "NaN"}
    assert json.loads(json_text(value)) == {"b": None, "a": [1.5, None, {"c": None}], "d": "NaN"}
    assert list(json.loads(json_text(value))) == ["b", "a", "d"]
