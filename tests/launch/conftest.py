"""A tiny dataset, and a training that is long enough to be disturbed."""

from __future__ import annotations

import pytest

from tests.launch import runs
from tests.trainer import datasets


@pytest.fixture(scope="session")
def training(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Flags of `trainer train`, but for --workdir: 120 steps."""
    folder = tmp_path_factory.mktemp("training")
    config = datasets.write_config(folder / "config.py", runs.TRAINING)
    return [f"--config={config}", f"--data={datasets.triplets(folder)}"]
