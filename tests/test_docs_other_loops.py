"""docs/other-loops.md: its scripts run, are killed, resume, and are given the right verdict."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from tests.trainer import datasets

ROOT = Path(__file__).parents[1]
FILE = re.compile(r"<!-- file: (\S+) -->\n```python\n(.*?)```\n", re.DOTALL)
STEPS = 300  # of 3 a pass


@pytest.fixture(scope="module")
def scripts(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("scripts")
    found = FILE.findall((ROOT / "docs" / "other-loops.md").read_text(encoding="utf-8"))
    for name, content in found:
        (folder / name).write_text(content, encoding="utf-8")
    assert [name for name, _ in found] == ["numpy_loop.py", "keras_loop.py", "torch_batches.py"]
    return folder


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> str:
    return datasets.class_folders(tmp_path_factory.mktemp("data"))


def started(script: Path, *arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(script), *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finished(process: subprocess.Popen[str]) -> str:
    _, stderr = process.communicate(timeout=200)
    assert process.returncode == 0, stderr
    return stderr


def killed_when(process: subprocess.Popen[str], there: Path) -> None:
    """SIGKILL as soon as the path is there; the process must not have ended before."""
    while not there.exists():
        assert process.poll() is None, process.communicate()
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL


def weights_of(run: Path) -> tuple[np.ndarray, int]:
    with np.load(run / "state.npz") as state:
        return state["weights"], json.loads(str(state["loader"]))["step"]


def test_the_numpy_loop_is_killed_and_ends_with_the_same_weights(scripts, data, tmp_path):
    script = scripts / "numpy_loop.py"
    finished(started(script, data, tmp_path / "whole", STEPS))
    killed_when(started(script, data, tmp_path / "killed", STEPS), tmp_path / "killed/state.npz")
    assert weights_of(tmp_path / "killed")[1] < STEPS
    said = finished(started(script, data, tmp_path / "killed", STEPS))
    (expected, steps), (found, _) = (weights_of(tmp_path / name) for name in ("whole", "killed"))
    assert steps == STEPS
    np.testing.assert_array_equal(found, expected)
    report = json.loads((tmp_path / "killed" / "report.json").read_text())
    assert (report["steps"], report["epochs"], report["time"]["attempts"]) == (STEPS, STEPS // 3, 2)
    assert report["bottleneck"]["verdict"] in said
    rows = (tmp_path / "killed" / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(row)["step"] for row in rows] == list(range(3, STEPS + 1, 3))


@pytest.mark.slow
def test_the_keras_loop_is_killed_and_ends_with_the_same_weights(scripts, data, tmp_path):
    """Killed once a state of some epoch is there; Keras itself would start at the first batch."""
    import tensorflow as tf

    script, epochs = scripts / "keras_loop.py", 15
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    first = started(script, data, whole, epochs)
    killed_when(started(script, data, killed, epochs), killed / "states" / "checkpoint")
    finished(first)
    finished(started(script, data, killed, epochs))
    states = [tf.train.load_checkpoint(str(run / "states")) for run in (whole, killed)]
    names = [name for name in states[0].get_variable_to_shape_map() if "save_counter" not in name]
    weights = [name for name in names if not name.startswith("_CHECKPOINTABLE")]
    assert len(weights) >= 6  # kernel, bias, their two moments each
    for name in weights:
        expected, found = (state.get_tensor(name) for state in states)
        np.testing.assert_array_equal(found, expected, err_msg=name)
    report = json.loads((killed / "report.json").read_text())
    assert (report["steps"], report["epochs"], report["time"]["attempts"]) == (
        3 * epochs,
        epochs,
        2,
    )
    assert report["bottleneck"]["kind"] != "unknown"


def test_torch_gets_the_same_batches_from_any_number_of_processes(scripts, data, monkeypatch):
    torch = pytest.importorskip("torch", reason="torch is not installed")
    monkeypatch.syspath_prepend(str(scripts))
    from torch_batches import Batches

    from trainer.data import open_dataset

    settings = {"batch_size": 8, "variants": 0}
    loader = open_dataset(data, **settings)
    for processes in (0, 2):
        batches = Batches(data, **settings)
        batches.load_state_dict(json.loads(json.dumps(batches.state_dict(2))))
        found = torch.utils.data.DataLoader(batches, batch_size=None, num_workers=processes)
        for step, batch in zip(range(2, 8), found, strict=False):
            for name, values in loader.batch(step).items():
                np.testing.assert_array_equal(batch[name].numpy(), values)


def test_the_torch_example_is_short(scripts):
    lines = (scripts / "torch_batches.py").read_text().splitlines()
    assert len([line for line in lines if line.strip()]) <= 30
