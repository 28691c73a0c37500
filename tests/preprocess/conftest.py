"""Inputs and datasets that several tests read and none changes."""

from __future__ import annotations

import re
import secrets
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.preprocess import made
from tests.preprocess.cloud import Cloud


@pytest.fixture(scope="session")
def cloud() -> Iterator[Cloud]:
    """Google Cloud Storage for as long as the tests run; every command and subprocess sees it."""
    from preprocess.storage import gcs_connection  # only tests of it pay for its imports

    started = Cloud()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gcs_connection, "RETRY", gcs_connection.RETRY.with_delay(initial=0.05))
        patch.setenv("STORAGE_EMULATOR_HOST", started.url)
        yield started
    started.stop()


@pytest.fixture
def bucket(cloud: Cloud, request: pytest.FixtureRequest) -> str:
    """A bucket of the test's own, as gs://NAME."""
    name = re.sub("[^a-z0-9]+", "-", request.node.name.lower())[-50:].strip("-")
    return cloud.bucket(f"{name}-{secrets.token_hex(3)}")


@pytest.fixture(scope="session")
def faces(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Flags of a triplet set: 24 train and 6 test faces, 22 and 4 triplets."""
    return made.triplet_set(tmp_path_factory.mktemp("faces"))


@pytest.fixture(scope="session")
def faces_dataset(faces: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`faces` in 3 variants over 4 shards, PNG. To be read only."""
    output = tmp_path_factory.mktemp("built") / "dataset"
    made.built("fec", output, **faces, variants=3, shards=4, encoding="png")
    return output


@pytest.fixture
def dataset(faces_dataset: Path, tmp_path: Path) -> Path:
    """A copy of `faces_dataset` to damage."""
    return Path(shutil.copytree(faces_dataset, tmp_path / "dataset"))


@pytest.fixture
def pushed(faces_dataset: Path, bucket: str) -> str:
    """`faces_dataset` on the object store."""
    from preprocess.build.staging import push

    push(str(faces_dataset), f"{bucket}/dataset", False)
    return f"{bucket}/dataset"


@pytest.fixture
def rebuild(faces: dict[str, Path], dataset: Path) -> Callable[..., dict]:
    """Runs the build of `dataset` again."""

    def again(**changes: object) -> dict:
        same = {**faces, "variants": 3, "shards": 4, "encoding": "png"}
        return made.built("fec", dataset, **{**same, **changes})

    return again
