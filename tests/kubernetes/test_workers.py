"""Trainings whose workers really run, on two nodes, and what is done to them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import pytest

from tests.kubernetes.cluster import Object
from tests.kubernetes.crew import Crew
from tests.kubernetes.runs import JOB, JOBSET, until

pytestmark = [pytest.mark.kubelets, pytest.mark.timeout(900)]
BACKENDS = (JOB, JOBSET)
STEPS = 90
_undisturbed: list[str] = []  # the digest of the weights, by the first test that needs it


def digest_of_undisturbed(crew: Crew) -> str:
    """Of the same training in one life; it is made once."""
    if not _undisturbed:
        crew.start("calm", JOB)
        crew.alice.launch("wait", "calm")
        _undisturbed.append(crew.result("calm")["weights_digest"])
    return _undisturbed[0]


@pytest.mark.parametrize("backend", BACKENDS)
def test_two_workers_train_to_the_end(crew: Crew, backend: str):
    crew.start("fec", backend)
    nodes = {pod["spec"]["nodeName"] for pod in crew.running("fec", 2)}
    crew.alice.launch("wait", "fec")
    status = crew.alice.status("fec")
    assert (status["state"], status["failures"]) == ("succeeded", 0), crew.said("fec")
    result = crew.result("fec")
    assert result["steps"] == STEPS and len(nodes) == 2
    assert result["weights_digest"] == digest_of_undisturbed(crew)


def _kill(crew: Crew, pods: list[Object]) -> None:
    crew.nodes.kill(pods[1])


def _terminate(crew: Crew, pods: list[Object]) -> None:
    crew.nodes.kill(pods[1], "SIGTERM")


@dataclasses.dataclass(frozen=True)
class Disturbance:
    """What is done to the workers of a run, and what its status then counts."""

    done: Callable[[Crew, list[Object]], None]
    failures: int
    interruptions: int


DISTURBANCES = {
    "kill": Disturbance(_kill, 1, 0),
    "terminate": Disturbance(_terminate, 0, 1),
}


@pytest.mark.parametrize("name", DISTURBANCES)
@pytest.mark.parametrize("backend", [JOB])
def test_a_disturbed_run_ends_with_the_same_weights(crew: Crew, backend: str, name: str):
    """Counted as the table of exit codes says: 137 is, 75 and 76 are not."""
    case = DISTURBANCES[name]
    expected = digest_of_undisturbed(crew)
    crew.start("fec", backend)
    pods = crew.running("fec", 2)
    crew.saves("fec", 10)
    case.done(crew, pods)
    old = {pod["metadata"]["uid"] for pod in pods}
    until("both run again", lambda: not old & {
        pod["metadata"]["uid"] for pod in crew.running("fec", 2)})  # fmt: skip
    crew.alice.launch("wait", "fec")
    status = crew.alice.status("fec")
    found = (status["state"], status["failures"], status["interruptions"])
    assert found == ("succeeded", case.failures, case.interruptions), crew.said("fec")
    result = crew.result("fec")
    assert (result["steps"], result["weights_digest"]) == (STEPS, expected)


def test_a_sidecar_builds_the_variants_of_a_run_and_ends_with_it(crew: Crew):
    """The dataset has variant 0 alone. Both pods have the sidecar, and one has work for it."""
    crew.build("one", "--variants=1")
    follower = ("--augment_workers=1", "--augment_recipe=photos")
    crew.start("fec", JOB, launcher=follower, data="one", epochs=2)
    crew.running("fec", 2)
    assert crew.alice.status("fec")["follower"] == "running"
    crew.alice.launch("wait", "fec")
    status = crew.alice.status("fec")
    assert (status["state"], status["failures"]) == ("succeeded", 0), crew.said("fec")
    lines = crew.alice.launch("logs", "fec", "--rank=follower").splitlines()
    assert any("[follower] variant 1: " in line for line in lines), lines
    assert (crew.volume / "fec" / "live_variants.json").exists()
    for pod in crew.pods("fec"):
        [sidecar] = pod["status"]["initContainerStatuses"]
        assert sidecar["state"]["terminated"]["exitCode"] == 0, sidecar
        assert sidecar["restartCount"] == 0
