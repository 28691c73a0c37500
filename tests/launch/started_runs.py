"""Runs that the tests start by the real command, disturb, and look at."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.trainer import datasets

DEADLINE = 900.0  # of anything waited for; the machine may be shared

# Long enough to be disturbed in, and saved often enough to go on from the middle.
EPOCHS, STEPS = 4, 80
TRAINING: dict[str, Any] = {
    **datasets.TRIPLET,
    "model.backbone": "cnn",
    "epochs": EPOCHS,
    "steps_per_epoch": STEPS // EPOCHS,
    "validation_steps": 1,
    "checkpoint.every_steps": 5,
}


class Launcher:
    """`python -m launch` with records of its own.

    Args:
      folder: for the records.
      environment: what the command needs besides.
    """

    def __init__(self, folder: Path, **environment: str) -> None:
        plain = {name: value for name, value in os.environ.items() if not name.startswith("TF_")}
        self._environment = {
            **plain,
            "PYTHONPATH": str(datasets.REPOSITORY),
            "SHARDLINE_STATE": str(folder),
            **environment,
        }

    def __call__(self, *words: str, code: int = 0) -> str:
        """Stdout of a command that has to end with a code; of one that fails, stderr."""
        done = subprocess.run(
            [sys.executable, "-m", "launch", *words],
            cwd=datasets.REPOSITORY,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=DEADLINE,
            check=False,
        )
        assert done.returncode == code, f"{words}: {done.returncode} {done.stderr}{done.stdout}"
        assert "Traceback" not in done.stderr, done.stderr
        return done.stderr if code else done.stdout

    def status(self, name: str) -> dict[str, Any]:
        """What --json says of a run."""
        found: dict[str, Any] = json.loads(self("status", name, "--json"))
        return found

    def wait_for(self, name: str, *states: str) -> dict[str, Any]:
        """The status of a run once it is in one of these states."""
        found: dict[str, Any] = {}

        def seen() -> bool:
            found.update(self.status(name))
            return found["state"] in states

        until(f"{name}: {states}", seen)
        return found


def until(what: str, seen: Callable[[], bool]) -> None:
    """Returns when `seen` is true; fails where that takes too long."""
    deadline = time.monotonic() + DEADLINE
    while not seen():
        assert time.monotonic() < deadline, f"it did not come to that: {what}"
        time.sleep(0.05)


def step(run: Path) -> int:
    """How far a training is; 0 before its first step."""
    file = run / "progress.json"
    return int(json.loads(file.read_text())["step"]) if file.exists() else 0


def trains(run: Path, life: int) -> None:
    """Returns when a life of a run has done a step."""
    folder = run / "launch" / "lives" / f"{life:03d}"
    began = folder / "rank-00000.json"
    until(f"life {life} of {run} begins", began.exists)
    started = json.loads(began.read_text())["started"]
    file = run / "progress.json"

    def seen() -> bool:
        return file.exists() and json.loads(file.read_text())["time"] > started

    until(f"life {life} of {run} trains", seen)


def worker(run: Path, life: int, rank: int) -> int:
    """The process of a worker."""
    file = run / "launch" / "lives" / f"{life:03d}" / f"rank-{rank:05d}.json"
    return int(json.loads(file.read_text())["pid"])


def disturb(run: Path, life: int, rank: int, number: signal.Signals) -> None:
    """A signal to one worker, once its life trains."""
    trains(run, life)
    os.kill(worker(run, life, rank), number)


def kill(pid: int) -> None:
    """SIGKILL to a process."""
    os.kill(pid, signal.SIGKILL)


def gone(pid: int) -> bool:
    """Whether a process has ended; one that nobody waited for yet has."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except OSError:
        return True


def digest(run: Path) -> str:
    """Of all weights that a finished training ended with."""
    return str(json.loads((run / "report.json").read_text())["weights_digest"])


def actions(run: Path) -> list[str]:
    """What followed each life of a run that was concluded."""
    files = sorted((run / "launch" / "lives").glob("*/life.json"))
    return [json.loads(file.read_text())["action"] for file in files]
