"""Faces drawn by several processes."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from preprocess.synth import numbered
from preprocess.synth.numbered import _write as write
from tests.preprocess.made import ROOT

several_cores = pytest.mark.skipif(
    len(os.sched_getaffinity(0)) < 2, reason="one core is one process"
)


def write_elsewhere(*job: Any) -> list[np.ndarray]:
    """_write() in a process that another one has started."""
    assert multiprocessing.parent_process() is not None
    return write(*job)


@several_cores
def test_several_processes_write_what_one_does(tmp_path: Path, monkeypatch) -> None:
    written, expressions = {}, {}
    for worth in (1000, 10):  # faces for a process: one process, then two
        monkeypatch.setattr(numbered, "_WORTH_A_PROCESS", worth)
        monkeypatch.setattr(numbered, "_AT_A_TIME", 7)
        folder = tmp_path / str(worth)
        folder.mkdir()
        if worth == 10:
            monkeypatch.setattr(numbered, "_write", write_elsewhere)
        parts = list(numbered.write_faces(folder, 30, seed=1, processes=2))
        assert [len(part) for part in parts] == [7, 7, 7, 7, 2]
        expressions[worth] = np.concatenate(parts)
        written[worth] = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert len(written[10]) == 30
    assert written[10] == written[1000]
    np.testing.assert_array_equal(expressions[10], expressions[1000])


def drawing(process: subprocess.Popen[str], output: Path) -> list[psutil.Process]:
    """The processes that draw, once one of them has."""
    while not list((output / "images_cropped").glob("*.jpg")):
        assert process.poll() is None
        time.sleep(0.05)
    found = [
        child
        for child in psutil.Process(process.pid).children(recursive=True)
        if any("spawn_main" in word for word in child.cmdline())
    ]
    assert len(found) >= 2
    return found


@several_cores
def test_a_process_that_is_killed_ends_the_command_with_69(tmp_path: Path) -> None:
    flags = [f"--output={tmp_path / 'set'}", "--faces=100000"]
    with subprocess.Popen(
        [sys.executable, "-m", "preprocess", "synth", *flags],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        children = drawing(process, tmp_path / "set")
        children[0].kill()
        _, said = process.communicate(timeout=60)
    _, alive = psutil.wait_procs(children, timeout=30)
    assert not alive
    assert process.returncode == 69, said
    assert "Traceback" not in said
    assert "was killed, perhaps for memory" in said


@several_cores
@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGKILL, -9), (signal.SIGTERM, -15), (signal.SIGINT, 130)]
)
def test_no_process_outlives_the_command(tmp_path: Path, number: signal.Signals, code: int) -> None:
    flags = [f"--output={tmp_path / 'set'}", "--faces=100000"]
    with subprocess.Popen(
        [sys.executable, "-m", "preprocess", "synth", *flags],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    ) as process:  # fmt: skip
        children = drawing(process, tmp_path / "set")
        if number == signal.SIGINT:  # Ctrl-C in a terminal is for all of them
            os.killpg(process.pid, number)
        else:
            process.send_signal(number)
        _, said = process.communicate(timeout=60)
    _, alive = psutil.wait_procs(children, timeout=30)
    assert not alive
    assert process.returncode == code, said
    assert "Traceback" not in said


@several_cores
def test_a_full_disk_in_a_process_ends_the_command_with_74(tmp_path: Path) -> None:
    """/dev/full in place of one of the files."""
    output = tmp_path / "set"
    code = (
        "import sys, os; from preprocess.synth import dataset, numbered\n"
        "from preprocess import __main__\n"
        "kept = dataset._prepare\n"
        "def prepared(folder):\n"
        "    made = kept(folder)\n"
        "    os.symlink('/dev/full', made / 'images_cropped' / 'face_01234.jpg')\n"
        "    return made\n"
        "dataset._prepare = prepared\n"
        f"sys.argv = ['preprocess', 'synth', '--output={output}', '--faces=2000']\n"
        "if __name__ == '__main__': __main__.main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 74, done.stderr
    assert "Traceback" not in done.stderr
    assert "No space left on device" in done.stderr
    assert not (output / "labels.csv").exists()
