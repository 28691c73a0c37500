from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from launch.smoke import commands
from tests.trainer import datasets

ROOT = Path(__file__).parents[2]


def test_the_second_training_goes_on_where_the_first_stopped():
    first, second = commands(["--config=demo", "--workdir=/runs/fec/"])
    assert first[:2] == ["--config=demo", "--workdir=/runs/fec-smoke"]
    assert set(first) ^ set(second) == {"--config.epochs=1", "--config.epochs=2"}


@pytest.mark.slow
def test_a_smoke_run_trains_validates_saves_and_restores(tmp_path):
    data = datasets.triplets(tmp_path / "data")
    workdir = tmp_path / "run"
    small = {"batch_size": 4, "image_size": 24, "virtual_replicas": 0, "model.backbone": "mlp"}
    small |= datasets.QUIET
    flags = [f"--config.{key}={value}" for key, value in small.items()]
    command = [sys.executable, "-m", "launch", "train", "--smoke", "--name=smoke", "--wait", "--"]
    done = subprocess.run(
        [*command, "--config=demo", f"--data={data}", f"--workdir={workdir}", *flags],
        cwd=ROOT,
        env={**os.environ, "SHARDLINE_STATE": str(tmp_path / "state")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lines = (tmp_path / "run-smoke" / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["epoch"] for line in lines] == [1, 2]
    report = json.loads((tmp_path / "run-smoke" / "report.json").read_text())
    assert report["steps"] == 2
    assert not list(workdir.glob("*.json")), "the run itself has not begun"
