"""One control plane for all tests here, and a namespace of its own for each that wants one."""

from __future__ import annotations

import itertools
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kubernetes.cluster import ControlPlane
from tests.kubernetes.kubelet import Kubelet
from tests.kubernetes.runs import Team

# Hides nothing that is used here; mounted over in this mount namespace only.
IN_MEMORY = Path("/mnt")
_NUMBERS = itertools.count(1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.kubernetes)


@pytest.fixture(scope="session")
def cluster() -> Iterator[ControlPlane]:
    if os.getpid() != 1:  # the first process of its own namespaces is
        pytest.fail("run these tests by `make test-kubernetes`")
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", IN_MEMORY], check=True)
    made = ControlPlane(IN_MEMORY)
    try:
        made.start()
        yield made
    finally:
        made.stop()


@pytest.fixture(scope="session")
def kubelet(cluster: ControlPlane) -> Iterator[Kubelet]:
    made = Kubelet(cluster)
    made.start()
    yield made
    made.stop()


@pytest.fixture
def team(cluster: ControlPlane, kubelet: Kubelet, tmp_path: Path) -> Iterator[Team]:
    """Two people with rights in one new namespace, whose admission is `restricted`."""
    namespace = f"test-{next(_NUMBERS)}"
    yield Team.new(cluster, kubelet, namespace, tmp_path)
    cluster.call("DELETE", f"/api/v1/namespaces/{namespace}")
