"""`trainer capture`: requests and answers in the run directory."""

import concurrent.futures
import json
import os
import subprocess
import sys
import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from preprocess.shell.errors import RestartError, UnavailableError, UsageError
from tests.trainer import datasets
from trainer.monitoring import capture_client
from trainer.monitoring.capture_client import capture
from trainer.monitoring.capture_requests import CaptureInbox, answer_name

DEADLINE = 30.0


@pytest.fixture
def run(tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    return folder


@pytest.fixture
def elsewhere():
    """Threads for what waits for an answer."""
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        yield pool


def request_of(inbox):
    """The next request, when it is there."""
    until = time.monotonic() + DEADLINE
    while time.monotonic() < until:
        if request := inbox.look():
            return request
        threading.Event().wait(0.01)
    raise AssertionError("no request came")


def answered(inbox, steps=(5, 14), problem=""):
    """Stands for a training loop: answers the next request; returns how many calls it wants."""
    request = request_of(inbox)
    if problem:
        request.failed(problem)
    else:
        request.taken(request.run / "tensorboard" / f"trace-{request.rank}", steps)
    return request.calls


def inbox(run, rank=0, size=1):
    return CaptureInbox(run, rank, size, period=0.0)


def test_a_capture_returns_when_the_trace_is_there_and_leaves_nothing(run, elsewhere):
    waiting = elsewhere.submit(capture, run, 10, timeout=DEADLINE)
    assert answered(inbox(run)) == 10
    (trace,) = waiting.result()
    assert (trace.worker, trace.steps) == (0, (5, 14))
    assert trace.trace == str(run / "tensorboard" / "trace-0")
    assert [path.name for path in run.iterdir()] == ["config.json"]


def test_all_workers_are_waited_for_and_one_alone_where_it_is_wanted(run, elsewhere):
    """The client learns from an answer how many there are."""
    workers = [inbox(run, rank, 2) for rank in range(2)]
    waiting = elsewhere.submit(capture, run, 7, (), DEADLINE)
    assert answered(workers[1]) == 7
    assert not waiting.done()
    assert answered(workers[0], (6, 12)) == 7
    assert [(t.worker, t.steps) for t in waiting.result()] == [(0, (6, 12)), (1, (5, 14))]
    waiting = elsewhere.submit(capture, run, 7, (1,), DEADLINE)
    answered(workers[1])
    assert [trace.worker for trace in waiting.result()] == [1]
    assert workers[0].look() is None


def test_one_capture_at_a_time(run, elsewhere):
    waiting = elsewhere.submit(capture, run, 10, timeout=DEADLINE)
    request = request_of(inbox(run))
    with pytest.raises(RestartError, match="another capture") as caught:
        capture(run, 10, timeout=DEADLINE)
    assert caught.value.exit_code == 75
    request.taken(run / "trace", (1, 10))
    assert waiting.result()


def test_the_request_of_a_capture_that_was_killed_holds_up_no_other(run, elsewhere):
    (run / "capture").mkdir()
    old = {"id": "0" * 32, "calls": 10, "workers": [0], "until": time.time() - 1}
    (run / "capture" / "request.json").write_text(json.dumps(old))
    (run / "capture" / answer_name("0" * 32, 0)).write_text("{}")
    waiting = elsewhere.submit(capture, run, 10, timeout=DEADLINE)
    answered(inbox(run))
    assert waiting.result()
    assert not (run / "capture").exists()


def test_a_request_is_seen_once_and_looked_for_once_a_period(run):
    looks = CaptureInbox(run, period=1000.0)
    assert looks.look() is None
    with capture_client._posted(run, "a" * 32, 10, (0,), DEADLINE):
        assert looks.look() is None  # it is not yet time
        assert looks.look(at_once=True).calls == 10
        assert looks.look(at_once=True) is None


def test_what_is_withdrawn_is_neither_waited_for_nor_answered(run):
    with capture_client._posted(run, "a" * 32, 10, (0,), DEADLINE):
        request = inbox(run).look()
        assert request.is_waiting
    assert not request.is_waiting
    request.taken(run / "trace", (1, 10))
    assert not (run / "capture").exists()


def test_where_nobody_responds_it_is_unavailable(run):
    with pytest.raises(UnavailableError, match="is a training under way") as caught:
        capture(run, 10, timeout=0.05)
    assert caught.value.exit_code == os.EX_UNAVAILABLE == 69
    assert not (run / "capture").exists()


def test_where_calls_do_not_run_in_time_another_try_may_help(run, elsewhere):
    """The worker has seen the request: the acknowledgement tells it from no training at all."""
    over = threading.Event()
    looks = inbox(run)

    def look():
        while not over.is_set():
            looks.look()

    elsewhere.submit(look)
    try:
        with pytest.raises(RestartError, match="no trace of worker 0 within") as caught:
            capture(run, 10, timeout=2.0)
    finally:
        over.set()
    assert caught.value.exit_code == 75


def test_a_fault_of_the_profiler_is_reported(run, elsewhere):
    waiting = elsewhere.submit(capture, run, 10, timeout=DEADLINE)
    answered(inbox(run), problem="no trace was taken: busy")
    with pytest.raises(RestartError, match="worker 0: no trace was taken: busy"):
        waiting.result()


def test_a_worker_that_there_is_not_is_bad_usage(run, elsewhere):
    waiting = elsewhere.submit(capture, run, 10, (0, 2), DEADLINE)
    answered(inbox(run, 0, 2))
    with pytest.raises(UsageError, match="workers 0 to 1"):
        waiting.result()


def test_what_is_no_run_or_has_finished_is_not_waited_for(run, tmp_path):
    with pytest.raises(UsageError, match=r"no config\.json"):
        capture(tmp_path, 10, timeout=DEADLINE)
    (run / "progress.json").write_text('{"step": 120, "total_steps": 120}')
    with pytest.raises(UnavailableError, match="has finished: it is at step 120 of 120"):
        capture(run, 10, timeout=DEADLINE)


REQUEST = {"id": "a" * 32, "calls": 10, "workers": [], "until": 1e12}


@pytest.mark.parametrize(
    "change",
    [
        {"calls": 4},
        {"calls": 101},
        {"calls": True},
        {"calls": "10"},
        {"id": "../../up"},
        {"id": "a" * 31},
        {"workers": "all"},
        {"workers": [1]},
        {"until": None},
        {"until": 0},
    ],
)
def test_what_is_no_request_to_this_worker_is_not_taken(run, change):
    (run / "capture").mkdir()
    (run / "capture" / "request.json").write_text(json.dumps({**REQUEST, **change}))
    assert inbox(run).look() is None


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "[" * 10_000, '{"id": "\\ud800"}', "x" * 70_000]
)
def test_a_file_that_is_no_json_of_ours_is_not_taken(run, content):
    (run / "capture").mkdir()
    (run / "capture" / "request.json").write_text(content)
    assert inbox(run).look() is None


def test_a_pipe_in_place_of_a_request_holds_up_no_step(run):
    (run / "capture").mkdir()
    os.mkfifo(run / "capture" / "request.json")
    assert inbox(run).look() is None


@given(st.dictionaries(st.sampled_from(["workers", "trace", "steps", "problem"]), st.none()
       | st.integers() | st.text() | st.lists(st.integers() | st.text(), max_size=3)))  # fmt: skip
def test_an_answer_is_taken_whole_or_not_at_all(answer):
    found = capture_client.answer_of(answer)
    if found:
        assert found.workers == answer["workers"] > 0
        assert found.is_complete == bool(answer.get("trace") or answer.get("problem"))


def test_the_command_prints_where_the_traces_are(run, elsewhere):
    taken = elsewhere.submit(answered, inbox(run))
    done = datasets.command("trainer", "capture", str(run), "--calls=7")
    assert taken.result() == 7
    assert done.stdout == f"{run}/tensorboard/trace-0: steps 5 to 14\n"
    elsewhere.submit(answered, inbox(run))
    done = datasets.command("trainer", "capture", str(run), "--json", "--workers=all")
    assert json.loads(done.stdout) == {
        "traces": [{"worker": 0, "trace": f"{run}/tensorboard/trace-0", "steps": [5, 14]}]
    }
    for arguments, words in (
        ([str(run), "other"], "takes one RUN"),
        ([str(run), "--workers=first"], "--workers='first'"),
    ):
        done = datasets.command("trainer", "capture", *arguments)
        assert done.returncode == 64
        assert words in done.stderr


def test_the_command_starts_without_tensorflow():
    """It may be typed while a GPU is full."""
    code = "import sys, trainer.commands.capture; print('tensorflow' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=datasets.REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "False\n"
