"""A tiny dataset, and a training that is long enough to be disturbed."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.launch import started_runs as runs
from tests.shared import shared_folder
from tests.trainer import datasets


@pytest.fixture(scope="session")
def training(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Flags of `trainer train`, but for --workdir."""
    folder = tmp_path_factory.mktemp("training")
    config = datasets.write_config(folder / "config.py", runs.TRAINING)
    return [f"--config={config}", f"--data={datasets.triplets(folder)}"]


@pytest.fixture(scope="session")
def calm(training: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of that training on two workers, which nothing disturbed; the only file that is
    left of it.
    """

    def make(folder: Path) -> None:
        work = tmp_path_factory.mktemp("calm")
        launch = runs.Launcher(work / "state")
        flags = [*training, f"--workdir={work / 'run'}"]
        launch("train", "--name=calm", "--workers=2", "--wait", "--", *flags)
        shutil.copy(work / "run" / "report.json", folder)

    return shared_folder(tmp_path_factory, "calm", make)
