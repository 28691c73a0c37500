"""The account of a run's time: by hand, by property, and of files that were cut off."""

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.monitoring import timeline
from trainer.monitoring.time_account import (
    BETWEEN,
    HOST,
    INPUT_WAIT,
    REDONE,
    Attempt,
    Moment,
    account,
    read_attempts,
)
from trainer.monitoring.timeline import Activity, Timeline

A = Activity


def attempt(start, *moments, end, finished=False):
    return Attempt((Moment(start, A.START), *moments), end, finished)


def test_the_parts_of_one_attempt_add_up():
    """10 s of start, then 100 steps in 20 s, of which 4 s wait and 1 s is Python, 5 s report."""
    spent = account(
        [
            attempt(
                1000.0,
                Moment(1010.0, A.STEPS, 0),
                Moment(1030.0, A.REPORT, 100, 4.0, 1.0),
                Moment(1035.0, A.END, 100, 4.0, 1.0),
                end=1035.0,
                finished=True,
            )
        ]
    )
    assert spent.seconds == {"start": 10, "steps": 15, HOST: 1, INPUT_WAIT: 4, "report": 5}
    assert spent.wall_seconds == 35
    assert spent.goodput == pytest.approx(16 / 35)
    assert (spent.attempts, spent.redone_steps) == (1, 0)


def test_steps_behind_the_state_that_the_next_attempt_began_with_are_redone():
    """The first came to step 60, the second began at 40: of 30 s for 60 steps the last 10 s."""
    spent = account(
        [
            attempt(0.0, Moment(5.0, A.STEPS, 0), Moment(35.0, A.STEPS, 60), end=35.0),
            attempt(
                45.0,
                Moment(50.0, A.STEPS, 40),
                Moment(60.0, A.END, 60),
                end=60.0,
                finished=True,
            ),
        ]
    )
    assert spent.redone_steps == 20
    assert spent.seconds == pytest.approx({"start": 10, "steps": 30, REDONE: 10, BETWEEN: 10})


def test_an_attempt_that_never_came_to_a_state_makes_nothing_redone():
    spent = account(
        [
            attempt(0.0, Moment(5.0, A.STEPS, 0), Moment(15.0, A.STEPS, 10), end=15.0),
            attempt(20.0, end=22.0),
            attempt(30.0, Moment(31.0, A.STEPS, 10), Moment(41.0, A.END, 20), end=41.0),
        ]
    )
    assert spent.redone_steps == 0
    assert spent.seconds == {"start": 5 + 2 + 1, "steps": 20, BETWEEN: 5 + 8}


def test_what_saves_cost_between_steps_is_told_from_those_at_the_end_of_an_epoch():
    """Two between steps: 1 s of copies, 5 s of waiting for the disk; the end takes 2 and 9 s."""
    spent = account(
        [
            attempt(
                0.0,
                Moment(5.0, A.STEPS, 0),
                Moment(10.0, A.SAVING, 20),
                Moment(10.5, A.STEPS, 20),
                Moment(12.0, A.WRITING, 40),
                Moment(17.0, A.STEPS, 40),
                Moment(17.0, A.SAVING, 40),
                Moment(17.5, A.STEPS, 40),
                Moment(19.0, A.CALLBACKS, 60),
                Moment(20.0, A.SAVING, 60),
                Moment(22.0, A.CALLBACKS, 60),
                Moment(22.0, A.WRITING, 60),
                Moment(31.0, A.CALLBACKS, 60),
                Moment(32.0, A.END, 60),
                end=32.0,
            )
        ]
    )
    assert (spent.saves, spent.step_saves) == (3, 2)
    assert (spent.step_save_seconds, spent.step_wait_seconds) == (1, 5)
    assert (spent.seconds["saving"], spent.seconds["writing"]) == (3, 14)


def test_an_attempt_that_waits_for_its_last_state_says_nothing_of_the_interval():
    """After a signal, whose state was saved at the step before: 8 s until it is on the disk."""
    signal = attempt(
        0.0,
        Moment(5.0, A.STEPS, 0),
        Moment(15.0, A.WRITING, 10),
        Moment(23.0, A.STEPS, 10),
        Moment(23.0, A.CLOSING, 10),
        Moment(24.0, A.END, 10),
        end=24.0,
    )
    spent = account([signal])
    assert (spent.seconds["writing"], spent.step_wait_seconds) == (8, 0)


def test_what_passes_before_more_epochs_are_asked_for_is_nobodys_time():
    done = attempt(0.0, Moment(5.0, A.STEPS, 0), Moment(9.0, A.END, 8), end=9.0, finished=True)
    later = attempt(9000.0, Moment(9001.0, A.STEPS, 8), Moment(9003.0, A.END, 9), end=9003.0)
    assert account([done, later]).wall_seconds == 9 + 3


@given(
    st.lists(
        st.lists(
            st.tuples(
                st.floats(0, 100),
                st.sampled_from([a for a in A if a is not A.END]),
                st.integers(0, 50),
                st.floats(0, 200),
                st.floats(0, 200),
            ),
            max_size=6,
        ),
        max_size=4,
    )
)
def test_whatever_happened_the_kinds_add_up_to_the_wall_clock(attempts):
    """The clock of the attempts themselves is the outside one: ends less begins, and the gaps."""
    made, now, steps = [], 0.0, 0
    for moments in attempts:
        start, lines = now, []
        for passed, activity, more, waited, host in moments:
            now += passed
            steps += more
            lines.append(Moment(now, activity, steps, waited, host))
        made.append(attempt(start, *lines, end=now))
        now += 1.0
    spent = account(made)
    assert spent.wall_seconds == pytest.approx(max(0.0, now - 1.0), abs=1e-6)
    assert sum(spent.seconds.values()) == pytest.approx(spent.wall_seconds, abs=1e-6)
    assert spent.goodput is None or 0 <= spent.goodput <= 1 + 1e-9


def test_a_written_timeline_is_read_again(tmp_path):
    path = tmp_path / "timeline" / "worker-0.jsonl"
    with Timeline(path, started=time.time() - 3) as line:
        line.enter(A.RESTORE)
        line.stepped(7)
        line.enter(A.STEPS)
        line.stepped(9, waited=0.0)
        with line.during(A.SAVING):
            pass
    (read,) = read_attempts(path)
    assert [m.activity for m in read.moments] == [
        A.START, A.RESTORE, A.STEPS, A.SAVING, A.STEPS, A.END,
    ]  # fmt: skip
    assert (read.first_step, read.last_step, read.finished) == (7, 9, True)
    assert account([read]).seconds["start"] == pytest.approx(3, abs=1)


def test_an_attempt_that_was_killed_ends_where_it_was_last_seen(tmp_path):
    """In steps since 40 s ago, at step 30 when it was last seen 20 s ago; again since 10 s ago."""
    path, now = tmp_path / "worker-0.jsonl", time.time()
    lines = [
        {"at": now - 50, "activity": "start", "attempt": True},
        {"at": now - 40, "activity": "steps", "step": 0},
    ]
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines) + '{"at": 17, "activ')
    note = {"at": now - 20, "activity": "steps", "step": 30, "waited": 5.0}
    path.with_suffix(".now").write_text(json.dumps(note))
    (killed,) = read_attempts(path)
    assert (killed.end, killed.last_step) == (now - 20, 30)
    with Timeline(path, started=now - 10) as line:
        line.stepped(15)
    first, second = read_attempts(path)
    assert first == killed
    assert second.start == pytest.approx(now - 10, abs=0.01)
    spent = account([first, second])
    assert spent.redone_steps == 15
    assert spent.seconds[REDONE] == pytest.approx(10, abs=0.1)
    assert spent.seconds[INPUT_WAIT] == pytest.approx(2.5, abs=0.1)
    assert spent.seconds[BETWEEN] == pytest.approx(10, abs=0.1)


@pytest.mark.parametrize(
    "text",
    ["", "[]\n", '{"at": "x", "activity": "steps"}\n', '{"at": 1, "activity": "sleeping"}\n', "\0"],
)
def test_lines_that_are_none_are_passed_over(tmp_path, text):
    path = tmp_path / "worker-0.jsonl"
    path.write_text(text)
    assert read_attempts(path) == []
    assert read_attempts(tmp_path / "none") == []


def test_a_timeline_that_cannot_be_written_ends_nothing(tmp_path):
    (tmp_path / "timeline").write_text("a file where the folder should be")
    with Timeline(tmp_path / "timeline" / "worker-0.jsonl") as line:
        line.enter(A.STEPS)


def test_kills_for_memory_are_those_between_two_attempts_of_one_container(tmp_path):
    """From 1 to 3 in the first container; the second counts from zero again."""
    path = tmp_path / "worker-0.jsonl"
    lines = [
        {"at": 10.0 * n, "activity": "start", "attempt": True, "memory_kills": kills}
        for n, kills in enumerate([1, 3, 0, None, "2"])
    ]
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    assert account(read_attempts(path)).memory_kills == 2


def test_where_nothing_is_written_there_is_no_goodput():
    with Timeline(None) as line:
        line.enter(A.STEPS)
        line.stepped(5)
        assert line.goodput() is None


def test_the_goodput_of_an_attempt_is_its_time_in_steps_less_their_waiting(tmp_path, monkeypatch):
    """10 s of start, 30 s in steps of which 6 s wait, then 20 s of saving: 24 / 60."""
    clock = [1000.0]
    monkeypatch.setattr(timeline.time, "monotonic", lambda: clock[0])
    with Timeline(tmp_path / "worker-0.jsonl") as line:
        clock[0] += 10
        assert line.goodput() is None
        line.enter(A.STEPS)
        line.stepped(1)
        clock[0] += 30
        line.stepped(100, waited=6.0)
        assert line.goodput() == pytest.approx(24 / 40)
        line.enter(A.SAVING)
        clock[0] += 20
        assert line.goodput() == pytest.approx(24 / 60)
