"""Kueue's objects, whose definitions are here without its controller: the tests write them.

test_queued_workers.py has the controller, too.
"""

from __future__ import annotations

import pytest

from tests.kubernetes import controllers
from tests.kubernetes.cluster import ControlPlane, Object
from tests.kubernetes.runs import JOB, JOBSET, K8S, Team

WORKLOADS = "/apis/kueue.x-k8s.io/v1beta2/namespaces/{}/workloads"
GROUP = "kueue.x-k8s.io"


@pytest.fixture(scope="module", autouse=True)
def definitions(cluster: ControlPlane) -> None:
    controllers.define(cluster, controllers.KUEUE)


def test_the_example_of_a_queue_is_applied_and_changes_nothing_again(cluster: ControlPlane):
    cluster.kubectl("apply", "-k", K8S / "base")
    cluster.kubectl("apply", "-k", K8S / "kueue")
    again = cluster.kubectl("apply", "-k", K8S / "kueue").splitlines()
    assert again and all(line.endswith(" unchanged") for line in again), again


def workload(team: Team, name: str, backend: str) -> Object:
    """As Kueue's controller makes it for a run."""
    run = team.run(name, backend)
    owner = {key: run[key] for key in ("apiVersion", "kind")}
    owner |= {key: run["metadata"][key] for key in ("name", "uid")}
    container = {"name": "trainer", "image": "none"}
    pods = {"name": "main", "count": 1, "template": {"spec": {"containers": [container]}}}
    metadata = {"name": f"{backend}-{name}-12345", "ownerReferences": [owner]}
    made = {"apiVersion": f"{GROUP}/v1beta2", "kind": "Workload", "metadata": metadata,
            "spec": {"queueName": "training", "podSets": [pods]}}  # fmt: skip
    return team.cluster.call("POST", WORKLOADS.format(team.namespace), made)


@pytest.mark.parametrize("backend", [JOB, JOBSET])
def test_suspending_a_run_deactivates_its_workload(team: Team, backend: str):
    """Kueue sets the run's own `suspend`, and would set it back."""
    team.admin.train("fec", "--queue=training", backend=backend)
    path = (
        f"{WORKLOADS.format(team.namespace)}/{workload(team, 'fec', backend)['metadata']['name']}"
    )
    status = team.admin.status("fec")
    assert (status["state"], status["detail"]) == ("pending", "waiting in its queue")
    for command, active, state in (("suspend", False, "suspended"), ("resume", True, "pending")):
        team.admin.launch(command, "fec")
        assert team.cluster.call("GET", path)["spec"]["active"] is active
        assert team.run("fec", backend)["spec"]["suspend"] is True
        assert team.admin.status("fec")["state"] == state
