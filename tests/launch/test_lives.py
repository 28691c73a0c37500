from __future__ import annotations

import signal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from launch.lives import (
    FAIL,
    FINISHED,
    RETRY,
    RETRY_UNCOUNTED,
    Lives,
    RankEnd,
    Verdict,
    judge,
    last_line,
)

KILLED = -signal.SIGKILL
codes = st.dictionaries(
    st.integers(0, 7), st.sampled_from([None, 0, 1, 64, 65, 70, 75, 78, KILLED]), min_size=1
)


@pytest.mark.parametrize(
    ("ends", "action", "rank"),
    [
        ({0: 0, 1: 0}, FINISHED, None),
        ({0: 0, 1: KILLED}, FINISHED, None),  # the chief has written everything
        ({0: 75, 1: 75}, RETRY_UNCOUNTED, None),  # a signal: all saved
        ({0: 75, 1: -signal.SIGTERM}, RETRY_UNCOUNTED, None),  # the same, in the middle of imports
        ({0: 75, 1: KILLED}, RETRY, 1),
        ({0: 75, 1: 1}, RETRY, 1),
        ({0: 75, 1: 65}, FAIL, 1),
        ({0: 75, 1: None}, RETRY_UNCOUNTED, 1),  # the node went with everything on it
    ],
)
def test_who_failed_decides_and_not_who_lost_a_peer(ends, action, rank):
    verdict = judge(ends, counted=0, max_restarts=3)
    assert (verdict.action, verdict.rank) == (action, rank)


def test_faults_are_made_good_so_many_times():
    assert judge({0: 75, 1: 1}, 2, 3).action == RETRY
    last = judge({0: 75, 1: KILLED}, 3, 3)
    assert (last.action, last.exit_code) == (FAIL, 128 + signal.SIGKILL)


@given(codes, st.integers(0, 5), st.integers(0, 5))
def test_a_verdict_keeps_the_contract(ends, counted, allowed):
    verdict = judge(ends, counted, allowed)
    final = {64, 65, 70, 78} & {code for code in ends.values() if code is not None}
    if final:
        assert verdict.action == FAIL
        assert verdict.exit_code in final
    elif verdict.action == RETRY:
        assert counted < allowed
    if verdict.action == FINISHED:
        assert ends[0] == 0


def test_lives_tell_what_happened(tmp_path):
    lives = Lives(tmp_path / "lives")
    assert lives.numbers() == []
    lives.write_rank(0, RankEnd(0, 10, 1.0, 5.0, 75))
    lives.write_rank(0, RankEnd(1, 11, 1.0, 4.0, KILLED))
    assert lives.conclude(0, range(2), 3) == Verdict(RETRY, 137, 1, "rank 1 was killed by SIGKILL")
    lives.log(0, 1).write_text("step 4\nout of luck\n\n", encoding="utf-8")
    lives.write_rank(1, RankEnd(0, 12, 6.0, None, None))
    assert (lives.counted(), lives.uncounted()) == (1, 0)
    assert lives.why() == "rank 1 was killed by SIGKILL: out of luck"
    assert [end.exit_code for end in lives.ranks(0)] == [75, KILLED]


def test_a_life_cut_short_is_an_interruption_once_there_is_another(tmp_path):
    lives = Lives(tmp_path)
    lives.write_rank(0, RankEnd(0, 10, 1.0, None, None))
    assert lives.uncounted() == 0
    lives.write_rank(1, RankEnd(0, 11, 2.0, None, None))
    assert (lives.counted(), lives.uncounted()) == (0, 1)


def test_the_last_line_of_a_long_log_is_found(tmp_path):
    path = tmp_path / "log"
    path.write_text("x" * 10_000 + "\nthe end\n\n", encoding="utf-8")
    assert last_line(path) == "the end"
    assert last_line(tmp_path / "none") == ""


def test_a_run_that_ended_and_was_started_again_has_all_its_restarts(tmp_path):
    """Lives end by retry, fail, retry: before the fail belongs to the run that is over."""
    lives = Lives(tmp_path)
    lives.write_verdict(0, Verdict(RETRY, 1, 0, "a fault"))
    lives.write_verdict(1, Verdict(FAIL, 1, 0, "a fault"))
    assert (lives.counted(), lives.next()) == (1, 2)  # of the run that failed
    lives.write_verdict(2, Verdict(RETRY, 1, 0, "a fault"))
    lives.write_rank(3, RankEnd(0, 10, 1.0, None, None))
    assert (lives.counted(), lives.uncounted(), lives.next()) == (1, 0, 4)
