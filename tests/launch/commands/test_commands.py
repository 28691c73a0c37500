"""What every command of `launch` keeps: quick help, light imports, flags that are looked at."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from launch.__main__ import COMMANDS, underscored
from launch.runs.records import Record
from tests.launch.made import ARGUMENTS, IMAGE, spec

ROOT = Path(__file__).parents[3]
GOLDEN = Path(__file__).parents[1] / "golden"
RENDER = ("render", "train", "--backend=job", "--workers=4", "--gpu=h100:8", "--name=fec",
          f"--image={IMAGE}", "--", *ARGUMENTS)  # fmt: skip
HEAVY = ("tensorflow", "apache_beam", "kubernetes", "google.auth", "numpy", "ml_collections")
# Runs a command, and says on stderr which of the heavy packages it has imported.
WATCHED = f"""
import runpy, sys
sys.argv = ["launch", *sys.argv[1:]]
try:
    runpy.run_module("launch", run_name="__main__")
finally:
    print("IMPORTED", *(set({HEAVY!r}) & set(sys.modules)), file=sys.stderr)
"""


@pytest.mark.parametrize("arguments", [("--help",), ("train", "--help"), RENDER,
                                       ("render", "preprocess", "--backend=flink",
                                        f"--image={IMAGE}")], ids=" ".join)  # fmt: skip
def test_help_and_rendering_take_less_than_a_second_and_import_nothing_heavy(arguments):
    """Processor time: a machine that is busy with other things does not count."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [sys.executable, "-c", WATCHED, *arguments], cwd=ROOT, capture_output=True, text=True
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == 0, done.stderr
    assert done.stderr == "IMPORTED\n"
    assert (after.ru_utime + after.ru_stime) - (before.ru_utime + before.ru_stime) < 1.0


def launch(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "launch", *arguments],
        cwd=ROOT,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=False,
    )


def test_help_is_the_one_that_was_looked_at():
    text, path = launch("--help").stdout, GOLDEN / "help.txt"
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8"), f"{path}: UPDATE_GOLDEN=1 writes it anew"


def test_every_command_has_its_module():
    modules = {path.stem for path in (ROOT / "launch" / "commands").glob("*.py")}
    assert modules - {"__init__", "one_run"} == set(COMMANDS)


def test_flags_are_written_with_either_dash():
    given = ["train", "--dry-run", "--max-restarts=1-2", "--", "--my-flag=a-b"]
    assert underscored(given) == ["train", "--dry_run", "--max_restarts=1-2", "--", "--my-flag=a-b"]


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("trian",), 64, "did you mean 'train'"),
        (("render",), 64, "VERB is one of train"),
        (("render", "train", "--backend=slum"), 64, "slum"),
        (("train", "--worker=2"), 64, "worker"),
        (("train", "--backend=job", "--name=fec"), 64, "--image=REF@sha256:"),
        (("train", "--backend=job", "--image=a:latest", "--name=fec"), 64, "digest"),
        (("status", "nobody"), 64, "no run 'nobody'"),
        (("status",), 64, "launch status RUN"),
    ],
)
def test_mistakes_are_told_in_a_line(tmp_path, arguments, code, words):
    done = launch(*arguments, SHARDLINE_STATE=str(tmp_path))
    assert done.returncode == code
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_a_dry_run_is_what_render_prints(tmp_path):
    rendered = launch(*RENDER, SHARDLINE_STATE=str(tmp_path))
    dry = launch("train", "--dry-run", *RENDER[2:], SHARDLINE_STATE=str(tmp_path))
    assert rendered.stdout
    assert dry.stdout == rendered.stdout
    assert list(tmp_path.iterdir()) == [], "nothing was recorded"


def test_a_record_that_cannot_be_read_hides_no_other_run(tmp_path, monkeypatch):
    """Of a command that an earlier version had."""
    monkeypatch.setenv("SHARDLINE_STATE", str(tmp_path))
    made = spec(name="mine", backend="local", arguments=(f"--workdir={tmp_path}/run",))
    Record(spec=made, handle="local:mine", submitted=1.0, argv=(), directory="/", commit="",
           versions={}).write({})  # fmt: skip
    fields = json.loads((tmp_path / "mine" / "record.json").read_text())
    fields["spec"].update(name="older", verb="dataservice")
    (tmp_path / "older").mkdir()
    (tmp_path / "older" / "record.json").write_text(json.dumps(fields))
    done = launch("list", "--json", SHARDLINE_STATE=str(tmp_path))
    assert [run["name"] for run in json.loads(done.stdout)["runs"]] == ["mine"]
    assert "run 'older' is not listed" in done.stderr


def test_without_a_run_the_list_is_empty(tmp_path):
    done = launch("list", "--json", SHARDLINE_STATE=str(tmp_path))
    assert json.loads(done.stdout) == {"runs": []}
