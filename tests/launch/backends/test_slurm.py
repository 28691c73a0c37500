"""What is made of Slurm's words; runs on a real one are in tests/integration/test_slurm.py."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from launch.backends import slurm
from launch.backends.slurm import Slurm, places
from launch.runs.orders import order
from launch.runs.records import Record
from launch.runs.status import LogQuery
from launch.supervisor.attempts import Attempts, RankStatus
from launch.supervisor.slurm_step import (
    addresses,
    attempt_number,
    job_name,
    parser,
    tasks_per_node,
    worker_folder,
)
from preprocess.shell.errors import UsageError
from tests.launch.made import spec


def test_tasks_of_a_step_are_read_as_slurm_abbreviates_them():
    assert tasks_per_node("2(x2),1") == [2, 2, 1]
    assert tasks_per_node("4") == [4]
    with pytest.raises(ValueError, match="SLURM_STEP_TASKS_PER_NODE"):
        tasks_per_node("2(x)")


def test_ranks_of_a_job_have_ports_of_their_own_below_linuxs():
    """22222 is 20000 above TensorFlow's 2222; a job has 64 ports, and 160 jobs come before the
    first ones are taken again: 22222 + 160 * 64 = 32462 is below 32768.
    """
    assert addresses(["a", "b"], [2, 1], 320) == ["a:22222", "a:22223", "b:22222"]
    assert addresses(["a"], [1], 321) == ["a:22286"]
    assert addresses(["a"], [64], 319) == [f"a:{port}" for port in range(32398, 32462)]


def test_lives_go_on_counting_where_a_run_is_submitted_again():
    assert attempt_number(0, {}) == 0
    assert attempt_number(3, {"SLURM_RESTART_COUNT": "2"}) == 5


def test_a_job_that_an_earlier_version_submitted_starts_again():
    """Its script has no --grace, and the old names of what it says of attempts."""
    words = ["task", "--lives=/runs/lives", "--first_life=0", "--", "python", "-m", "trainer"]
    given = parser().parse_args(words)
    assert (given.attempts, given.first_attempt, given.grace) == ("/runs/lives", 0, math.inf)
    assert given.command == ["python", "-m", "trainer"]
    assert parser().parse_args([*words[:3], "--grace=60", *words[3:]]).grace == 60


def test_a_job_of_an_array_is_not_named_like_the_array():
    """The last job of an array has the array's own number, which stands for all of its jobs."""
    alone = {"SLURM_JOB_ID": "7"}
    assert job_name(alone) == "7"
    assert job_name({**alone, "SLURM_ARRAY_JOB_ID": "7", "SLURM_ARRAY_TASK_ID": "3"}) == "7_3"


@pytest.mark.parametrize(
    ("text", "found"), [("3", {3}), ("0-2,5%2", {0, 1, 2, 5}), ("2-2", {2}), ("", set())]
)
def test_places_of_an_array_are_read_as_slurm_abbreviates_them(text, found):
    assert places(text) == found


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The lines of `scontrol show job`; none where Slurm has forgotten the job."""
    lines: list[str] = []

    def run(command: list[str], text: str = "") -> str:
        assert command[:4] == ["scontrol", "--oneliner", "show", "job"]
        if not lines:
            raise UsageError("scontrol: slurm_load_jobs error: Invalid job id specified")
        return "\n".join(lines)

    monkeypatch.setattr(slurm, "_run", run)
    return lines


def record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, verb: str, workers: int, **changes: int
) -> Record:
    monkeypatch.setenv("SHARDLINE_STATE", str(tmp_path / "state"))
    arguments = (f"--workdir={tmp_path / 'run'}", "--data=/data")
    made = spec(verb=verb, backend="slurm", workers=workers, arguments=arguments, **changes)
    return Record(spec=made, handle="slurm:7", submitted=1.0, argv=(), directory="/", commit="",
                  versions={})  # fmt: skip


@pytest.mark.parametrize(
    ("words", "state", "detail"),
    [
        ("JobState=PENDING Reason=Resources", "pending", "Resources"),
        ("JobState=PENDING Reason=BeginTime", "pending", "BeginTime"),
        ("JobState=PENDING Reason=JobHeldUser", "suspended", ""),
        ("JobState=PENDING Reason=job_requeued_in_held_state", "suspended", ""),
        ("JobState=RUNNING Reason=None", "running", ""),
        ("JobState=COMPLETING Reason=None", "running", ""),
        ("JobState=COMPLETED Reason=None", "succeeded", ""),
        ("JobState=CANCELLED Reason=None", "stopped", ""),
        ("JobState=BOOT_FAIL Reason=None", "failed", "BOOT_FAIL"),
    ],
)
def test_a_state_of_slurms_is_one_of_ours(tmp_path, monkeypatch, said, words, state, detail):
    said.append(f"JobId=7 JobName=fec {words} Dependency=(null) Command=/x y=z")
    status = Slurm().status(record(tmp_path, monkeypatch, "train", 2))
    assert (status.state, status.detail) == (state, detail)


def test_why_names_the_limit_that_ended_a_job_not_what_was_made_good_before(
    tmp_path, monkeypatch, said
):
    """Of two attempts the first was judged; Slurm ended the second with the job."""
    said.append("JobId=7 JobName=fec JobState=TIMEOUT Reason=TimeLimit")
    run = record(tmp_path, monkeypatch, "train", 2)
    lives = Attempts(run.attempts_folder)
    for rank in range(2):
        lives.write_rank(0, RankStatus(rank, 10 + rank, 1.0, 2.0, -9))
        lives.write_rank(1, RankStatus(rank, 20 + rank, 3.0, None, None))
    lives.conclude(0, range(2), 3)
    words = "Slurm ended it at its time limit before its end was judged"
    assert Slurm().why(run) == f"failed: {words}"


def test_a_run_that_finished_has_succeeded_where_slurm_killed_its_follower_for_memory(
    tmp_path, monkeypatch, said
):
    """The end of the job that was submitted at 1.0, not that of one before it."""
    said.append("JobId=7 JobName=fec JobState=OUT_OF_MEMORY Reason=OutOfMemory")
    run = record(tmp_path, monkeypatch, "train", 2, augment_workers=1)
    attempts = Attempts(run.attempts_folder)
    for ended, state in ((0.5, "failed"), (2.0, "succeeded")):
        for rank in range(2):
            attempts.write_rank(0, RankStatus(rank, 10, 0.2, ended, 0))
        attempts.conclude(0, range(2), 3)
        assert Slurm().status(run).state == state


def test_why_of_a_running_job_names_a_follower_that_has_ended(tmp_path, monkeypatch, said):
    said.append("JobId=7 JobName=fec JobState=RUNNING Reason=None")
    run = record(tmp_path, monkeypatch, "train", 2, augment_workers=1)
    attempts = Attempts(run.attempts_folder)
    attempts.write_follower(RankStatus(0, 10, 1.0, None, None))
    assert Slurm().why(run) == "running"
    attempts.write_follower(RankStatus(0, 10, 1.0, 2.0, 64))
    attempts.follower_log.write_text("following\nno recipe: set --recipe\n", encoding="utf-8")
    words = "ended with 64, starts again: no recipe: set --recipe"
    assert Slurm().why(run) == f"running; follower: {words}"


def test_a_job_that_slurm_forgot_is_as_it_was_left(tmp_path, monkeypatch, said):
    run = record(tmp_path, monkeypatch, "train", 2)
    assert Slurm().status(run).state == "failed"
    order(run, "stopped")
    assert Slurm().status(run).state == "stopped"
    lives = Attempts(run.attempts_folder)
    for rank in range(2):
        lives.write_rank(0, RankStatus(rank, 10 + rank, 1.0, 2.0, 0))
    lives.conclude(0, range(2), 3)
    assert Slurm().status(run).state == "succeeded"


@pytest.mark.parametrize(
    ("states", "together"),
    [
        (("RUNNING", "FAILED", "COMPLETED"), "running"),
        (("PENDING", "PENDING", "COMPLETED"), "running"),
        (("PENDING", "PENDING", "PENDING"), "pending"),
        (("COMPLETED", "FAILED", "COMPLETED"), "failed"),
        (("COMPLETED", "CANCELLED", "COMPLETED"), "stopped"),
        (("COMPLETED", "COMPLETED", "COMPLETED"), "succeeded"),
    ],
)
def test_an_array_is_what_most_needs_to_be_known_of_it(
    tmp_path, monkeypatch, said, states, together
):
    for place, state in enumerate(states):
        said.append(f"JobId={7 + place} ArrayJobId=7 ArrayTaskId={place} JobState={state} Reason=x")
    assert Slurm().status(record(tmp_path, monkeypatch, "search", 3)).state == together


def test_workers_of_an_array_keep_their_lives_apart(tmp_path, monkeypatch, said):
    """Worker 0 has failed once, worker 1 twice without being counted, worker 2 still waits."""
    run = record(tmp_path, monkeypatch, "search", 3)
    said += [
        "JobId=8 ArrayJobId=7 ArrayTaskId=0 JobState=RUNNING Reason=None",
        "JobId=9 ArrayJobId=7 ArrayTaskId=1 JobState=RUNNING Reason=None",
        "JobId=7 ArrayJobId=7 ArrayTaskId=2-2 JobState=PENDING Reason=Resources",
    ]
    for worker, codes in enumerate([[1], [75, 75]]):
        lives = Attempts(worker_folder(run.attempts_folder, worker))
        for life, code in enumerate(codes):
            lives.write_rank(life, RankStatus(worker, 10, 1.0, 2.0, code))
            lives.log(life, worker).write_text(f"words of {worker} in {life}\n", encoding="utf-8")
            lives.conclude(life, [worker], 3, together=False)
    status = Slurm().status(run)
    assert (status.state, status.restarts, status.interruptions) == ("running", 1, 2)
    assert [rank.rank for rank in status.ranks] == [0, 1]
    lines = list(Slurm().logs(run, LogQuery()))
    assert [(line.rank, line.text) for line in lines] == [
        (0, "words of 0 in 0"),
        (1, "words of 1 in 1"),
    ]
    assert Slurm().why(run) == "running: rank 0 ended with 1: words of 0 in 0"
