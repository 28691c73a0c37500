"""Trainings in a queue of Kueue itself: admitted as a whole, suspended and resumed by `launch`."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.kubernetes import controllers
from tests.kubernetes.cluster import ControlPlane, Object
from tests.kubernetes.crew import Crew
from tests.kubernetes.nodes import Nodes
from tests.kubernetes.runs import until
from tests.kubernetes.test_workers import RUNS, STEPS, digest_of_undisturbed

pytestmark = [pytest.mark.kubelets, pytest.mark.timeout(900)]
API = "kueue.x-k8s.io/v1beta2"
QUEUE = "training"


@pytest.fixture(scope="module")
def kueue(cluster: ControlPlane, nodes: Nodes) -> None:
    """Once there are nodes: in their mount namespace it finds its certificate."""
    controllers.start(cluster, controllers.KUEUE)


@pytest.fixture
def queue(kueue: None, crew: Crew) -> Iterator[None]:
    """In the crew's namespace; it has room for one run of two workers."""
    quota = {"cpu": "2", "memory": "1Ti", "ephemeral-storage": "1Ti"}
    resources = [{"name": name, "nominalQuota": value} for name, value in quota.items()]
    flavors = [{"name": crew.namespace, "resources": resources}]
    crew.cluster.apply(
        {"apiVersion": API, "kind": "ResourceFlavor", "metadata": {"name": crew.namespace}},
        {"apiVersion": API, "kind": "ClusterQueue", "metadata": {"name": crew.namespace},
         "spec": {"namespaceSelector": {}, "queueingStrategy": "BestEffortFIFO",
                  "resourceGroups": [{"coveredResources": list(quota), "flavors": flavors}]}},
        {"apiVersion": API, "kind": "LocalQueue",
         "metadata": {"name": QUEUE, "namespace": crew.namespace},
         "spec": {"clusterQueue": crew.namespace}},
    )  # fmt: skip
    yield
    for kind in ("clusterqueues", "resourceflavors"):
        crew.cluster.call("DELETE", f"/apis/{API}/{kind}/{crew.namespace}")


def workload(crew: Crew, name: str) -> Object:
    """Kueue's record of a run."""
    path = f"/apis/{API}/namespaces/{crew.namespace}/workloads"
    found = [each for each in crew.cluster.call("GET", path)["items"]
             if each["metadata"]["ownerReferences"][0]["name"] == name]  # fmt: skip
    return dict(found[0]) if found else {}


def reserved(crew: Crew, name: str) -> bool:
    """Whether Kueue has given room to a run."""
    return any(each["type"] == "QuotaReserved" and each["status"] == "True"
               for each in workload(crew, name)["status"]["conditions"])  # fmt: skip


@pytest.mark.parametrize("name", RUNS)
def test_a_run_that_is_suspended_stays_so_until_it_is_resumed(crew: Crew, queue: None, name: str):
    """Kueue sets the run's own `suspend`, and starts what it has admitted."""
    expected = digest_of_undisturbed(crew)
    crew.start(name, RUNS[name], launcher=(f"--queue={QUEUE}",))
    crew.running(name, 2)
    crew.saves(name, 10)
    crew.alice.launch("suspend", name)
    until(f"no pod of {name} runs", lambda: not crew.alive(name))
    until("Kueue takes the room back", lambda: not reserved(crew, name))
    assert crew.run(name, RUNS[name])["spec"]["suspend"] is True
    assert crew.alice.status(name)["state"] == "suspended"
    crew.alice.launch("resume", name)
    crew.alice.launch("wait", name)
    status = crew.alice.status(name)
    assert (status["state"], status["failures"]) == ("succeeded", 0), crew.said(name)
    result = crew.result(name)
    assert (result["steps"], result["weights_digest"]) == (STEPS, expected)


def test_a_run_waits_until_there_is_room_for_all_of_it(crew: Crew, queue: None):
    first, second = RUNS
    for name in RUNS:
        crew.start(name, RUNS[name], launcher=(f"--queue={QUEUE}",))
    crew.running(first, 2)
    until("Kueue has looked at both", lambda: all(
        (workload(crew, name).get("status") or {}).get("conditions") for name in RUNS))  # fmt: skip
    assert not reserved(crew, second)
    status = crew.alice.status(second)
    assert (status["state"], status["detail"]) == ("pending", "waiting in its queue")
    assert not crew.pods(second)
    for name in RUNS:
        crew.alice.launch("wait", name)
        assert crew.alice.status(name)["state"] == "succeeded", crew.said(name)
