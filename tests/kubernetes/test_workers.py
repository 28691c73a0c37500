"""Trainings whose workers really run, on two nodes, and what happens to them.

A run as Job and one as JobSet are in the same test: while one waits, the other works.
SHARDLINE_TIMES is how often each test but the sidecar's is done (1).
"""

from __future__ import annotations

import os
from typing import Any

import pytest

from preprocess.shell.exit_codes import ExitCode
from tests.kubernetes.crew import Crew, ended
from tests.kubernetes.disturbances import DISTURBANCES
from tests.kubernetes.runs import JOB, JOBSET, until

pytestmark = [pytest.mark.kubelets, pytest.mark.timeout(900)]
RUNS = {"as-job": JOB, "as-jobset": JOBSET}
STEPS = 360
TIMES = range(1, 1 + int(os.environ.get("SHARDLINE_TIMES") or 1))
_undisturbed: list[str] = []  # the digest of the weights, by the first test that needs it


def digest_of_undisturbed(crew: Crew) -> str:
    """Of the same training in one life; it is made once."""
    if not _undisturbed:
        crew.start("calm", JOB)
        crew.alice.launch("wait", "calm")
        _undisturbed.append(crew.result("calm")["weights_digest"])
    return _undisturbed[0]


@pytest.mark.parametrize("time", TIMES)
def test_two_workers_train_to_the_end(crew: Crew, time: int):
    for name, backend in RUNS.items():
        crew.start(name, backend)
    nodes = {name: {pod["spec"]["nodeName"] for pod in crew.running(name, 2)} for name in RUNS}
    for name in RUNS:
        crew.alice.launch("wait", name)
        status = crew.alice.status(name)
        assert (status["state"], status["failures"]) == ("succeeded", 0), crew.said(name)
        assert crew.result(name)["steps"] == STEPS and len(nodes[name]) == 2
    digests = {crew.result(name)["weights_digest"] for name in RUNS}
    assert digests == {digest_of_undisturbed(crew)}


@pytest.mark.parametrize("time", TIMES)
@pytest.mark.parametrize("what", DISTURBANCES)
def test_a_disturbed_run_ends_with_the_same_weights(crew: Crew, what: str, time: int):
    """Counted as the table of exit codes says: 137 is, 75 and 76 are not."""
    case = DISTURBANCES[what]
    expected = digest_of_undisturbed(crew)
    for name, backend in RUNS.items():
        crew.start(name, backend)
    workers = {name: crew.running(name, 2) for name in RUNS}
    for name in RUNS:
        crew.saves(name, 10)
    case.done(crew, workers)
    for name, backend in RUNS.items():
        crew.alice.launch("wait", name)
        status = crew.alice.status(name)
        assert (status["state"], status["failures"]) == ("succeeded", case.failures), crew.said(
            name
        )
        assert status["interruptions"] in case.interruptions, crew.said(name)
        result = crew.result(name)
        assert (result["steps"], result["weights_digest"]) == (STEPS, expected), name
        old = {pod["metadata"]["uid"] for pod in workers[name]}
        assert not old & {pod["metadata"]["uid"] for pod in crew.newest(name)}
        if backend == JOB and case.codes:  # a JobSet removes the pods of an attempt that failed
            kept = {pod["metadata"]["uid"]: pod for pod in crew.pods(name)}
            for pod, codes in zip(workers[name], case.codes, strict=True):
                assert ended(kept[pod["metadata"]["uid"]]) in codes, crew.said(name)


@pytest.mark.parametrize("time", TIMES)
def test_a_run_at_its_deadline_fails_and_another_one_goes_on(crew: Crew, time: int):
    expected = digest_of_undisturbed(crew)
    for name, backend in RUNS.items():
        crew.start(name, backend)
    for name in RUNS:
        crew.running(name, 2)
        crew.saves(name, 10)
    for name, backend in RUNS.items():
        crew.set_deadline(name, backend, seconds=1)
    for name, backend in RUNS.items():
        crew.fails(name, backend)
        until(f"no pod of {name} runs", lambda name=name: not crew.alive(name))
        status = crew.alice.status(name)
        found = (status["state"], status["failures"], status["restarts"])
        assert found == ("failed", 0, 0), status
        assert "deadline" in crew.alice.launch("why", name)
    saved = {name: crew.saved(name) for name in RUNS}
    for name, backend in RUNS.items():
        crew.start(f"{name}-again", backend, workdir=name)
    for name in RUNS:
        crew.alice.launch("wait", f"{name}-again")
        result = crew.result(f"{name}-again")
        assert (result["steps"], result["weights_digest"]) == (STEPS, expected), name
        assert 0 < saved[name] < STEPS, name


# What a trainer ends with for good, and a training that has it.
FINAL: dict[ExitCode, dict[str, Any]] = {
    ExitCode.USAGE: {"trainer": ["--no_such_flag=1"]},
    ExitCode.DATA: {"data": "missing"},
    ExitCode.DIVERGED: {"optimizer__learning_rate": 1e30},
    ExitCode.CONFIG: {"trainer": ["--config.optimizer.name=none"]},
}


@pytest.mark.parametrize("time", TIMES)
@pytest.mark.parametrize("code", FINAL, ids=str)
def test_what_cannot_be_mended_ends_the_run_for_good(crew: Crew, code: ExitCode, time: int):
    for name, backend in RUNS.items():
        crew.start(name, backend, **FINAL[code])
    for name, backend in RUNS.items():
        crew.fails(name, backend)
        status = crew.alice.status(name)
        found = (status["state"], status["failures"], status["restarts"])
        assert found == ("failed", 1, 0), crew.said(name)
        assert f"ended with {code.value}" in crew.alice.launch("why", name), crew.said(name)


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
