"""What follows how workers ended: the same for every supervisor."""

from __future__ import annotations

import signal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from preprocess.shell.exit_codes import ExitCode
from trainer.workers.supervisor.restart_policy import (
    FAIL,
    FINISHED,
    RETRY,
    RETRY_UNCOUNTED,
    decide,
    decide_independent,
    follows,
)

KILLED = -signal.SIGKILL
codes = st.dictionaries(
    st.integers(0, 7), st.sampled_from([None, 0, 1, 64, 65, 70, 75, 76, 78, KILLED]), min_size=1
)


@pytest.mark.parametrize(
    ("ends", "action", "rank"),
    [
        ({0: 0, 1: 0}, FINISHED, None),
        ({0: 0, 1: KILLED}, FINISHED, None),  # the chief has written everything
        ({0: 75, 1: 75}, RETRY_UNCOUNTED, None),  # a signal: all saved
        ({0: 75, 1: -signal.SIGTERM}, RETRY_UNCOUNTED, None),  # the same, in the middle of imports
        ({0: 76, 1: KILLED}, RETRY, 1),
        ({0: 76, 1: 1}, RETRY, 1),
        ({0: 76, 1: 65}, FAIL, 1),
        ({0: 76, 1: None}, RETRY_UNCOUNTED, 1),  # the node went with everything on it
    ],
)
def test_who_failed_decides_and_not_who_lost_a_peer(ends, action, rank):
    decision = decide(ends, counted=0, max_restarts=3)
    assert (decision.action, decision.rank) == (action, rank)


def test_faults_are_made_good_so_many_times():
    assert decide({0: 76, 1: 1}, 2, 3).action == RETRY
    last = decide({0: 76, 1: KILLED}, 3, 3)
    assert (last.action, last.exit_code) == (FAIL, 128 + signal.SIGKILL)


@given(codes, st.integers(0, 5), st.integers(0, 5))
def test_a_decision_keeps_the_contract(ends, counted, allowed):
    decision = decide(ends, counted, allowed)
    final = {64, 65, 70, 78} & {code for code in ends.values() if code is not None}
    if final:
        assert decision.action == FAIL
        assert decision.exit_code in final
    elif decision.action == RETRY:
        assert counted < allowed
    if decision.action == FINISHED:
        assert ends[0] == 0


@pytest.mark.parametrize("code", ExitCode)
def test_a_worker_is_restarted_and_counted_as_the_table_of_exit_codes_has_it(code):
    expected = (RETRY if code.counted else RETRY_UNCOUNTED) if code.retried else FAIL
    assert follows(int(code)) == (FINISHED if code == ExitCode.DONE else expected)


def test_of_several_causes_the_first_is_named():
    assert decide({2: 1, 1: KILLED, 0: 76}, 0, 3).rank == 2


def test_without_any_end_of_its_own_a_group_is_restarted():
    """All were ended from outside, before they could tell."""
    assert decide({}, 0, 3).action == RETRY_UNCOUNTED


def test_independent_workers_are_done_when_each_one_is():
    assert decide_independent({0: 0, 1: 0}, 0, 3).action == FINISHED
    assert decide_independent({0: 0, 1: 75}, 0, 3).action == RETRY_UNCOUNTED
    assert decide_independent({0: 0, 1: 1}, 0, 3).action == RETRY
    assert decide_independent({0: 78, 1: 0}, 0, 3).exit_code == 78
