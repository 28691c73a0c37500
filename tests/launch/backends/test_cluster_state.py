"""What a Job's, a JobSet's and their pods' objects say: numbers, states and causes."""

from __future__ import annotations

from typing import Any

import pytest

from launch.backends.cluster_state import (
    FAILED_BEFORE,
    IGNORED_BEFORE,
    counts,
    finished,
    reason,
    run_state,
)
from launch.render.pod import CONTAINER, INDEX_ANNOTATION
from launch.runs.status import FAILED, PENDING, RUNNING, SUCCEEDED, SUSPENDED
from tests.launch.made import spec


def pod(rank: int, phase: str = "Running", code: int | None = None, **marks: Any) -> dict[str, Any]:
    """A pod; `failed` and `ignored` are what the Job controller has counted before it."""
    annotations = {INDEX_ANNOTATION: str(rank)}
    annotations |= {FAILED_BEFORE: str(marks["failed"])} if "failed" in marks else {}
    annotations |= {IGNORED_BEFORE: str(marks["ignored"])} if "ignored" in marks else {}
    status: dict[str, Any] = {"phase": phase, "conditions": marks.get("conditions", [])}
    if code is not None:
        state = {"exitCode": code, "finishedAt": marks.get("at", "t"), "message": "last words"}
        status["containerStatuses"] = [{"name": CONTAINER, "state": {"terminated": state}}]
    name = marks.get("name", f"fec-{rank}-abcde")
    return {"metadata": {"name": name, "annotations": annotations}, "status": status}


def job(*conditions: tuple[str, str, str], **status: Any) -> dict[str, Any]:
    """A Job with conditions (type, reason, message) that hold."""
    at = {"status": "True", "lastTransitionTime": "2026-01-01T01:00:00Z"}
    found = [{"type": kind, "reason": why, "message": text, **at} for kind, why, text in conditions]
    return {"kind": "Job", "spec": {}, "status": {"conditions": found, **status}}


@pytest.mark.parametrize(
    ("pods", "restarts", "failures", "interruptions"),
    [
        ([pod(0), pod(1)], 0, 0, 0),
        # Rank 1 crashed: charged once, and rank 0 lost it.
        ([pod(0, ignored=1), pod(1, failed=1)], 1, 1, 0),
        # Both saved: one restart of the group, counted for none.
        ([pod(0, ignored=1), pod(1, ignored=1)], 0, 0, 1),
        # Two crashes of different ranks, one drain.
        ([pod(0, failed=1, ignored=2), pod(1, failed=1, ignored=2)], 2, 2, 1),
        # The crash that has just happened is a failure, and no restart yet.
        ([pod(0), pod(1, "Failed", 1)], 0, 1, 0),
        ([pod(0), pod(1, "Failed", 76)], 0, 0, 0),
        ([pod(0), pod(1, "Failed", 137, conditions=[
            {"type": "DisruptionTarget", "status": "True"}])], 0, 0, 0),
    ],
)  # fmt: skip
def test_restarts_failures_and_interruptions_of_a_job_are_three_numbers(
    pods, restarts, failures, interruptions
):
    found = counts(job(), [], pods, spec())
    assert found == {"restarts": restarts, "failures": failures, "interruptions": interruptions}


def test_workers_that_run_apart_are_counted_apart():
    apart = spec(verb="search")
    found = counts(job(), [], [pod(0, ignored=1), pod(1, failed=2, ignored=1)], apart)
    assert found == {"restarts": 2, "failures": 2, "interruptions": 2}


def test_a_fault_that_all_workers_meet_is_one_failure():
    pods = [pod(0, "Failed", 65), pod(1, "Failed", 65)]
    assert counts(job(), [], pods, spec())["failures"] == 1
    assert counts(job(), [], pods, spec(verb="search"))["failures"] == 2
    # The same of one that was tried again.
    pods = [pod(0, failed=1), pod(1, failed=1)]
    found = counts(job(), [], pods, spec())
    assert found == {"restarts": 1, "failures": 1, "interruptions": 0}


def test_a_jobset_counts_by_itself():
    status = {"restarts": 5, "restartsCountTowardsMax": 2}
    run = {"kind": "JobSet", "spec": {}, "status": status}
    assert counts(run, [], [], spec()) == {"restarts": 2, "failures": 2, "interruptions": 3}
    # The deadline is its Job's, and so is the condition that tells it.
    over = job(("Failed", "FailedJobs", ""))["status"]["conditions"]
    run = {"kind": "JobSet", "spec": {}, "status": {**status, "conditions": over}}
    for why, failures in (("PodFailurePolicy", 3), ("DeadlineExceeded", 2)):
        ended = job(("Failed", why, ""))
        assert counts(run, [ended], [], spec())["failures"] == failures


@pytest.mark.parametrize(
    ("conditions", "suspend", "pods", "state"),
    [
        ([], False, [], PENDING),
        ([], True, [], SUSPENDED),
        ([], False, [pod(0, "Running"), pod(1, "Pending")], RUNNING),
        (["SuccessCriteriaMet"], False, [pod(0, "Succeeded")], SUCCEEDED),
        (["Complete"], False, [pod(0, "Succeeded")], SUCCEEDED),
        (["Failed"], False, [], FAILED),
        (["FailureTarget"], False, [], FAILED),
    ],
)
def test_the_state_is_read_from_conditions_and_pods(conditions, suspend, pods, state):
    run = job(*((kind, "", "why") for kind in conditions))
    run["spec"]["suspend"] = suspend
    assert run_state(run, pods, queued=False)[0] == state


def test_between_two_attempts_a_run_is_running():
    assert run_state(job(), [], queued=False)[0] == PENDING
    assert run_state(job(), [pod(0, "Pending")], queued=False)[0] == PENDING
    assert run_state(job(), [pod(0, "Failed", 1)], queued=False)[0] == RUNNING
    assert run_state(job(), [pod(0, "Pending", failed=1)], queued=False)[0] == RUNNING
    jobset = {"kind": "JobSet", "spec": {}, "status": {"restarts": 1}}
    assert run_state(jobset, [], queued=False)[0] == RUNNING


def test_a_failed_run_has_a_time_at_which_it_ended():
    assert finished(job(("Failed", "FailedIndexes", ""))) == "2026-01-01T01:00:00Z"
    assert finished(job()) == ""


def test_a_deadline_is_the_cause_and_not_a_failure_that_was_made_good():
    run = job(("Failed", "DeadlineExceeded", "Job was active longer than specified deadline"))
    pods = [pod(1, "Failed", 1), pod(1, failed=1, name="fec-1-later")]
    text = reason(run, [], pods, [], queued=False)
    assert text.startswith(f"{FAILED}: its deadline passed") and "rank 1" not in text


def test_a_failure_policy_names_its_pod_and_the_earlier_crash_is_not_it():
    message = "Container trainer for pod shardline/fec-0-fghij failed with exit code 65 matching FailJob rule at index 1"  # noqa: E501
    run = job(("Failed", "PodFailurePolicy", message))
    pods = [pod(1, "Failed", 1, at="1"), pod(0, "Failed", 65, at="2", name="fec-0-fghij")]
    assert reason(run, [], pods, [], queued=False) == "failed: rank 0 ended with 65: last words"
    # Its pod is gone by now: what the condition says is told instead.
    assert "exit code 65" in reason(run, [], pods[:1], [], queued=False)


def test_of_a_jobset_the_condition_of_its_job_is_the_cause():
    run = {**job(("Failed", "FailedJobs", "jobset failed due to one or more job failures"))}
    child = job(("Failed", "DeadlineExceeded", "Job was active longer than specified deadline"))
    assert "its deadline passed" in reason(run, [child], [], [], queued=False)


def test_a_failure_that_was_made_good_is_told_as_such():
    pods = [pod(1, "Failed", 1), pod(1, failed=1, name="fec-1-later"), pod(0, ignored=1)]
    text = reason(job(), [], pods, [], queued=False)
    assert text.startswith("running; the last failure, which led to a restart: rank 1")


def test_pods_that_could_not_be_made_are_what_a_run_waits_for():
    events = [{"type": "Warning", "reason": "FailedCreate", "message": "exceeded quota: small"}]
    assert reason(job(), [], [], events, queued=False) == "pending: exceeded quota: small"
