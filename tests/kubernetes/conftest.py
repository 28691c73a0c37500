"""One control plane for all tests here, and a namespace of its own for each that wants one."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from preprocess.synth.dataset import synthesise
from tests.kubernetes import nodes as nodes_module
from tests.kubernetes.cluster import ControlPlane
from tests.kubernetes.crew import Crew
from tests.kubernetes.kubelet import Kubelet
from tests.kubernetes.nodes import Nodes
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
    made = ControlPlane(IN_MEMORY, kubelets=nodes_module.FOLDER in os.environ)
    try:
        made.start()
        yield made
    finally:
        made.stop()


@pytest.fixture(scope="session")
def nodes(cluster: ControlPlane) -> Nodes:
    """They end with the namespaces."""
    made = Nodes(cluster, IN_MEMORY)
    made.start()
    return made


@pytest.fixture(scope="session")
def data(nodes: Nodes) -> Path:
    """A folder on the disk of all nodes with a small dataset: 33 train and 27 test triplets."""
    folder = nodes.disk / "shared"
    synthesise(folder / "synth", 40, 60, 0.45, 0, progress=False)
    # A process of its own: a server of forks would be waited for at the end.
    subprocess.run([sys.executable, "-m", "preprocess", "build", f"--output={folder / 'triplets'}",
                    "--workers=1", "--source=fec", f"--csv={folder}/synth/labels.csv",
                    f"--images={folder}/synth/images_cropped", "--image_size=32", "--variants=3",
                    "--shards=2", "--encoding=png"], check=True)  # fmt: skip
    return folder


@pytest.fixture
def crew(cluster: ControlPlane, nodes: Nodes, data: Path, tmp_path: Path) -> Iterator[Crew]:
    """The same with pods that really run, and the claim `runs` of a volume."""
    namespace = f"test-{next(_NUMBERS)}"
    made = Crew(cluster, nodes, data, namespace, tmp_path)
    yield made
    cluster.call("DELETE", f"/api/v1/namespaces/{namespace}")
    made.remove_volume()


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
    yield Team(cluster, kubelet, namespace, tmp_path)
    cluster.call("DELETE", f"/api/v1/namespaces/{namespace}")
