"""Short trainings with --augment_workers, for the tests that start them by the real command."""

from __future__ import annotations

from pathlib import Path

from launch.supervisor.attempts import Attempts
from tests.launch.started_runs import until
from tests.trainer import datasets

PASSES = 6  # of three steps each
FOLLOWED = ["--augment_workers=1", "--augment_recipe=photos"]


def flags_of(folder: Path, data: str, run: Path) -> list[str]:
    """Of a training that saves often."""
    values = {**datasets.CLASSIFICATION, "model.backbone": "cnn", "checkpoint.every_steps": 2}
    config = datasets.write_config(
        folder / "config.py", {**values, "epochs": PASSES, "deterministic": True}
    )
    return [f"--config={config}", f"--data={data}", f"--workdir={run}"]


def attempts_of(run: Path) -> Attempts:
    """The attempts of a run."""
    return Attempts(run / "launch" / "lives")


def follower(run: Path) -> int:
    """The process of the last follower, once there is one."""
    until("a follower starts", lambda: attempts_of(run).follower() is not None)
    status = attempts_of(run).follower()
    assert status
    return status.pid
