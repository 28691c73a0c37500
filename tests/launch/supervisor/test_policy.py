"""What Kubernetes does when a pod ends, by the manifests that are rendered."""

from __future__ import annotations

import pytest

from launch.render.objects import objects
from launch.supervisor.cluster_policy import (
    FAIL,
    REPLACE,
    RESTART_ALL,
    SUCCEED,
    WAIT,
    JobPolicy,
    JobSetPolicy,
)
from preprocess.shell.exit_codes import FINAL, UNCOUNTED, ExitCode
from tests.launch.made import spec


def job(**changes: object) -> JobPolicy:
    return JobPolicy(objects(spec(**changes))[0])


def jobset(**changes: object) -> JobSetPolicy:
    return JobSetPolicy(objects(spec(backend="jobset", **changes))[0])


@pytest.mark.parametrize("code", FINAL)
@pytest.mark.parametrize("make", [job, jobset])
def test_what_would_end_the_same_way_is_not_tried_again(make, code):
    decision = make().ended(1, code)
    assert (decision.action, decision.counted) == (FAIL, False)


@pytest.mark.parametrize("code", UNCOUNTED)
def test_who_saved_or_lost_a_peer_is_restarted_and_not_counted(code):
    """A JobSet starts all again after a 75, and leaves the rest of them alone after a 76."""
    of_jobset = RESTART_ALL if code == ExitCode.SAVED else REPLACE
    policies = job(max_restarts=1), jobset(max_restarts=1)
    for policy, action in zip(policies, (REPLACE, of_jobset), strict=True):
        for _ in range(20):
            assert policy.ended(0, code).action == action
        assert policy.counted == 0


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_a_jobset_counts_a_crash_whoever_is_seen_first(order):
    """Rank 1 crashed, rank 0 lost it."""
    policy = jobset()
    codes = {0: 76, 1: 137}
    decisions = [policy.ended(rank, codes[rank]) for rank in order]
    assert policy.counted == 1
    assert [d.counted for d in decisions].count(True) == 1


def test_one_kill_of_two_workers_is_counted_once():
    """Rank 1 is killed (137 = 128 + SIGKILL) and rank 0 leaves with 76 because of it."""
    policy = job()
    assert policy.ended(1, 137).counted
    assert not policy.ended(0, 76).counted
    assert policy.failures == {1: 1}


def test_each_rank_has_its_own_budget():
    """backoffLimitPerIndex 2: the third counted failure of a rank is one too many."""
    policy = job(max_restarts=2)
    assert [policy.ended(rank, 1).action for rank in (0, 1, 0, 1)] == [REPLACE] * 4
    assert policy.ended(1, 1).action == FAIL


def test_without_restarts_the_first_failure_is_the_end():
    assert job(max_restarts=0).ended(1, 1).action == FAIL
    assert jobset(max_restarts=0).ended(1, 1).action == FAIL


def test_a_drained_node_is_nobodys_fault():
    decision = job().ended(1, 137, disrupted=True)
    assert (decision.action, decision.counted) == (REPLACE, False)
    decision = jobset().ended(1, 143, disrupted=True)
    assert (decision.action, decision.counted) == (RESTART_ALL, False)


@pytest.mark.parametrize("make", [job, jobset])
def test_the_run_is_done_when_the_chief_is(make):
    policy = make()
    assert policy.ended(1, 0).action == WAIT
    assert policy.ended(0, 0).action == SUCCEED


def test_a_jobset_restarts_all_workers_and_counts_faults_only():
    policy = jobset(max_restarts=1)
    assert not policy.ended(0, 76).counted
    first = policy.ended(1, 137)
    assert (first.action, first.counted) == (RESTART_ALL, True)
    assert policy.ended(0, 137).action == FAIL
