"""What the Job controller and JobSet's count, by how workers end: the table of exit codes."""

from __future__ import annotations

import dataclasses

import pytest

from tests.kubernetes.kubelet import End
from tests.kubernetes.runs import JOB, JOBSET, Team, conditions, until

BACKENDS = (JOB, JOBSET)


@dataclasses.dataclass(frozen=True)
class Case:
    """How the two workers of a run end, and what the run then is.

    Attributes:
      codes: of rank 0 and 1; None where a rank goes on until it is ended.
      state: of the run afterwards.
      counted: failures that count.
    """

    codes: tuple[int | None, int | None]
    state: str
    counted: int


FINAL = {f"final-{code}": Case((None, code), "failed", 1) for code in (64, 65, 70, 78)}
CASES = {
    **FINAL,
    # All meet it, and the run fails once.
    "final-all": Case((65, 65), "failed", 1),
    "both-saved": Case((75, 75), "running", 0),
    "one-saved": Case((76, 75), "running", 0),
    # A crash, and its echo in the same moment: counted once, in whichever order they are seen.
    "crash": Case((76, 1), "running", 1),
    "crash-of-both": Case((74, 74), "running", 1),
    "crash-of-chief": Case((137, 76), "running", 1),
    # A peer's save in the moment of a crash: the crash is counted all the same.
    "lost-only": Case((76, 76), "running", 0),
}


@pytest.mark.parametrize("backend", BACKENDS)
def test_ends_are_counted_as_the_table_says(team: Team, backend: str):
    """All at the same time: the Job controller waits 10 s before it replaces a counted pod."""
    for name in CASES:
        team.alice.train(name, "--workers=2", backend=backend)
    before = {name: team.running(name, 2) for name in CASES}
    for name, case in CASES.items():
        for pod, code in zip(before[name], case.codes, strict=True):
            if code is not None:
                team.kubelet.end(pod, End(code, f"said with {code}"))
    for name, case in CASES.items():
        if case.state == "failed":
            until(
                f"{name} fails", lambda name=name: "Failed" in conditions(team.run(name, backend))
            )
        else:
            old = {pod["metadata"]["uid"] for pod in before[name]}
            until(f"{name} runs again", lambda name=name, old=old: not old & {
                pod["metadata"]["uid"] for pod in team.running(name, 2)})  # fmt: skip
    for name, case in CASES.items():
        status = team.alice.status(name)
        found = (status["state"], status["failures"], status["restarts"])
        restarts = case.counted if case.state == "running" else 0
        assert found == (case.state, case.counted, restarts), f"{name}: {status}"
        assert (status["finished"] is None) == (case.state == "running"), name
        if not (backend == JOBSET and name == "lost-only"):  # its Job replaces them by itself
            assert status["interruptions"] == (case.state == "running" and not case.counted), name
        if case.state == "failed":
            assert f" ended with {case.codes[1]}" in team.alice.launch("why", name)


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_budget_is_of_failures_and_not_of_interruptions(team: Team, backend: str):
    team.alice.train("fec", "--workers=2", "--max_restarts=1", backend=backend)
    for codes in ((75, 75), (75, 75), (76, 1), (75, 75), (76, 1)):
        for pod, code in zip(team.running("fec", 2), codes, strict=True):
            team.kubelet.end(pod, End(code))
        until("those pods are replaced, or the run has failed", lambda: (
            "Failed" in conditions(team.run("fec", backend))
            or all(p["status"]["phase"] == "Running" for p in team.newest("fec"))))  # fmt: skip
    team.fails("fec", backend)
    status = team.alice.status("fec")
    assert (status["state"], status["failures"], status["restarts"]) == ("failed", 2, 1)
    assert status["interruptions"] == 3
    assert "rank 1 ended with 1" in team.alice.launch("why", "fec")


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_drained_node_is_an_interruption(team: Team, backend: str):
    team.alice.train("fec", "--workers=2", backend=backend)
    drained, peer = team.running("fec", 2)
    team.kubelet.disrupt(drained)
    team.kubelet.end(peer, End(76, "lost a peer"))
    old = {pod["metadata"]["uid"] for pod in (drained, peer)}
    until("both run again", lambda: not old & {
        pod["metadata"]["uid"] for pod in team.running("fec", 2)})  # fmt: skip
    status = team.alice.status("fec")
    assert (status["failures"], status["restarts"], status["interruptions"]) == (0, 0, 1)


@pytest.mark.parametrize("backend", BACKENDS)
def test_suspended_and_resumed_nothing_is_counted(team: Team, backend: str):
    team.alice.train("fec", "--workers=2", backend=backend)
    old = {pod["metadata"]["uid"] for pod in team.running("fec", 2)}
    team.alice.launch("suspend", "fec")
    until("no pod is left", lambda: not team.pods("fec"))
    assert team.alice.status("fec")["state"] == "suspended"
    team.alice.launch("resume", "fec")
    assert not old & {pod["metadata"]["uid"] for pod in team.running("fec", 2)}
    status = team.alice.status("fec")
    assert (status["state"], status["failures"], status["restarts"]) == ("running", 0, 0)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_run_ends_well_with_its_chief(team: Team, backend: str):
    team.alice.train("fec", "--workers=2", backend=backend)
    chief, _ = team.running("fec", 2)
    team.kubelet.end(chief, End(0))
    team.alice.launch("wait", "fec")
    status = team.alice.status("fec")
    assert (status["state"], status["failures"]) == ("succeeded", 0)
    assert status["finished"] >= status["started"]


@pytest.mark.parametrize("backend", BACKENDS)
def test_why_names_the_deadline_and_not_what_was_made_good(team: Team, backend: str):
    team.alice.train("fec", "--workers=2", backend=backend)
    first = team.running("fec", 2)
    for pod, code in zip(first, (76, 1), strict=True):
        team.kubelet.end(pod, End(code, "a crash that was made good"))
    old = {pod["metadata"]["uid"] for pod in first}
    until("it runs again", lambda: not old & {
        pod["metadata"]["uid"] for pod in team.running("fec", 2)})  # fmt: skip
    assert "led to a restart" in team.alice.launch("why", "fec") or backend == JOBSET
    team.set_deadline("fec", backend, seconds=1)
    team.fails("fec", backend)
    said = team.alice.launch("why", "fec")
    assert "deadline" in said and "made good" not in said
    assert team.alice.status("fec")["failures"] == 1, "the crash, and not the deadline"
