"""What is recorded of attempts, and read again."""

from __future__ import annotations

import json
import signal

from launch.supervisor.attempts import Attempts, RankStatus, last_line
from trainer.workers.supervisor.restart_policy import FAIL, RETRY, Decision

KILLED = -signal.SIGKILL


def test_attempts_tell_what_happened(tmp_path):
    attempts = Attempts(tmp_path / "attempts")
    assert attempts.numbers() == []
    attempts.write_rank(0, RankStatus(0, 10, 1.0, 5.0, 75))
    attempts.write_rank(0, RankStatus(1, 11, 1.0, 4.0, KILLED))
    assert attempts.conclude(0, range(2), 3) == Decision(
        RETRY, 137, 1, "rank 1 was killed by SIGKILL"
    )
    attempts.log(0, 1).write_text("step 4\nout of luck\n\n", encoding="utf-8")
    attempts.write_rank(1, RankStatus(0, 12, 6.0, None, None))
    assert (attempts.counted(), attempts.uncounted()) == (1, 0)
    assert attempts.why() == "rank 1 was killed by SIGKILL: out of luck"
    assert [end.exit_code for end in attempts.ranks(0)] == [75, KILLED]


def test_an_attempt_cut_short_is_an_interruption_once_there_is_another(tmp_path):
    attempts = Attempts(tmp_path)
    attempts.write_rank(0, RankStatus(0, 10, 1.0, None, None))
    assert attempts.uncounted() == 0
    attempts.write_rank(1, RankStatus(0, 11, 2.0, None, None))
    assert (attempts.counted(), attempts.uncounted()) == (0, 1)


def test_a_follower_that_has_seen_the_end_of_a_run_is_done_with_it(tmp_path):
    attempts = Attempts(tmp_path)
    attempts.write_follower(RankStatus(0, 10, 1.0, 2.0, 0))
    assert attempts.follower_state() == "done with the run, starts again"


def test_the_last_line_of_a_long_log_is_found(tmp_path):
    path = tmp_path / "log"
    path.write_text("x" * 10_000 + "\nthe end\n\n", encoding="utf-8")
    assert last_line(path) == "the end"
    assert last_line(tmp_path / "none") == ""


def test_a_run_that_ended_and_was_started_again_has_all_its_restarts(tmp_path):
    """Attempts end by retry, fail, retry: before the fail belongs to the run that is over."""
    attempts = Attempts(tmp_path)
    attempts.write_decision(0, Decision(RETRY, 1, 0, "a fault"))
    attempts.write_decision(1, Decision(FAIL, 1, 0, "a fault"))
    assert (attempts.counted(), attempts.next()) == (1, 2)  # of the run that failed
    attempts.write_decision(2, Decision(RETRY, 1, 0, "a fault"))
    attempts.write_rank(3, RankStatus(0, 10, 1.0, None, None))
    assert (attempts.counted(), attempts.uncounted(), attempts.next()) == (1, 0, 4)


def test_records_of_earlier_versions_are_read(tmp_path):
    """As an earlier version wrote them."""
    (tmp_path / "000").mkdir()
    verdict = {"action": "retry-uncounted", "exit_code": 75, "rank": None, "reason": "saved"}
    (tmp_path / "000" / "life.json").write_text(json.dumps(verdict))
    rank = {"rank": 0, "pid": 7, "started": 1.0, "ended": 2.0, "exit_code": 75, "host": "a"}
    (tmp_path / "000" / "rank-00000.json").write_text(json.dumps(rank))
    attempts = Attempts(tmp_path)
    assert attempts.ranks(0) == [RankStatus(0, 7, 1.0, 2.0, 75, "a")]
    assert attempts.decision(0) == Decision("retry-uncounted", 75, None, "saved")
    assert (attempts.counted(), attempts.uncounted()) == (0, 1)
